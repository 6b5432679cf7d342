"""The first training: a hand-written LSTM that remembers the first digit of a palindrome until its last."""
