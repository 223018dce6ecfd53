"""The training of a completer: incomplete pictures to whole ones in one pass, as many as wanted."""
