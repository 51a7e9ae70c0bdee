"""Where a link leads that leaves the pages."""

from typing import Any

from django.test import RequestFactory

from config.address import local_url
from web.links import address, origin


def test_links_lead_to_where_people_reach_the_pages(settings: Any, rf: RequestFactory) -> None:
    request = rf.get("/members", headers={"host": "localhost:8001"})
    settings.PUBLIC_URL = ""
    assert (origin(request), origin()) == ("http://localhost:8001", settings.LOCAL_URL)
    settings.PUBLIC_URL = "https://agents.example.com"
    assert origin(request) == origin() == "https://agents.example.com"
    assert address(origin(), "run", "x") == "https://agents.example.com/runs/x"
    hosts = {"127.0.0.1": "127.0.0.1", "0.0.0.0": "localhost", "::": "localhost", "::1": "[::1]"}
    assert {host: local_url(host, 80) for host in hosts} == {host: f"http://{name}:80" for host, name in hosts.items()}
