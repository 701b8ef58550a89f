"""The job of this example. `heracles work --app shop.jobs` imports this module, so it sets Django up."""

import os

import django
from django.apps import apps

from heracles import Job

if not apps.ready:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    django.setup()


@Job.register(queue="orders")
class ConfirmOrder(Job):
    """Confirm one order."""

    def __init__(self, number: int) -> None:
        self.number = number

    # Django's models are synchronous: a plain def runs on a thread, where they may be used.
    def execute(self) -> str:
        return f"order {self.number} confirmed"
