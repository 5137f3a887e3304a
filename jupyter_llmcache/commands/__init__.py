"""What a person can ask for: ask a model, and see and manage what is kept."""
