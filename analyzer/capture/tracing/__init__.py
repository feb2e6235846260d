"""The modes that see every call and every operation, and record them."""
