"""What a refused call is shown as: its real words, and a script that raises them."""
