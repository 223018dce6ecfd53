"""What can be asked for, a module for each kind of question: `router(state)` gives its addresses."""
