"""The first training: an LSTM that remembers the first digit of a palindrome until its last."""
