"""What one outer step costs in CPU time and memory, against the released code's step written plainly."""
