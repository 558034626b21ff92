"""Qt models: what lists show. They render values and own no truth."""
