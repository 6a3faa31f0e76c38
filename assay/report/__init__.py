"""From results.json to what people read: one HTML page, a terminal summary, Markdown, CSV, SARIF, and a diff."""
