"""How a claim is decided: sequential statistical tests and proofs by solvers."""
