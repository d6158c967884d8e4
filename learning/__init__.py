"""How an agent learns: networks, losses, replay, the learner, the trainer and what they leave on disk."""
