"""Writers that ship with the laboratory."""
