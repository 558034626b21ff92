"""The chat page: conversations, the transcript, the composer and the model that answers.

``view`` builds what is seen; ``page``, ``conversations`` and ``model_control`` decide.
"""
