"""Teams as commands name them."""

from django.core.management.base import CommandError

from accounts.models import Team


def team_named(slug: str) -> Team:
    """Raises CommandError, which names those that there are."""
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        raise CommandError(f"There is no team {slug}. Known: {', '.join(Team.objects.values_list('slug', flat=True))}.")
    return team
