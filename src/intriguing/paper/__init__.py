"""The paper's networks, numbers, tables and figures, as compositions of the analyses."""
