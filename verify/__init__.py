"""Stage 5: scenarios -> verdicts -> reports."""
