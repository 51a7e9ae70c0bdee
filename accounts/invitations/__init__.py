"""Invitations: a link by which one e-mail address joins a team."""
