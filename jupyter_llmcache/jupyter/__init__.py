"""The extension inside IPython: magics, the raw text of a prompt, completion."""
