"""What a network costs: boards, the on-board agent, meters, cost tables."""
