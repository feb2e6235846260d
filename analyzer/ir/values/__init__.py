"""What the code says of the numbers in a tensor, and what a dtype holds of them."""
