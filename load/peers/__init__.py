"""Other ways to do the same work, run beside headrace: what a team writes first, with the stock libraries."""
