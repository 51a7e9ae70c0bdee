"""/v1/docs works under our Content-Security-Policy and without any other host."""

import re

from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client


def test_the_page_has_no_inline_script_or_style_and_no_foreign_file() -> None:
    client = Client()
    for path in ("/v1/docs", "/v1/docs/"):
        answer = client.get(path)
        page = answer.content.decode()
        assert answer.status_code == 200
        assert "script-src 'self'" in answer["Content-Security-Policy"]
        for attributes, content in re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL):
            assert "src=" in attributes or 'type="application/json"' in attributes, content
        assert not re.search(r"<style| style=| on\w+=", page)
        addresses = set(re.findall(r'(?:src|href)="([^"]+)"', page))
        assert "/" in addresses  # the way back
        for address in addresses - {"/"}:
            assert address.startswith(settings.STATIC_URL), address
            assert finders.find(address.removeprefix(settings.STATIC_URL)), address
