"""Groups: named sets of people, used for quorum and assignment."""
