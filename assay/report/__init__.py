"""From results.json to what people read: one HTML page, the terminal, Markdown, CSV, SARIF, and the difference of two runs."""
