"""The demo: the whole story of a snapshot backup on a fresh lab, told in acts that each state what must come of them."""
