"""Networks that judge completed pictures. Nothing is ever trained against them."""
