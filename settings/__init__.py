"""What a user chooses on the command line, and where everything lies on disk."""
