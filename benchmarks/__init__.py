"""Measures Heracles beside its peers and beside what the machine can do: ``make bench``, ``make bench-quick``.

``catalogue`` says which systems there are, ``figures`` how each thing is measured, ``report`` what is made of it.
Producers and workers run as processes of their own, each in its system's environment: there only ``role``, ``board``,
``jobs``, ``produce``, ``work`` and one module of ``systems`` are imported, which need nothing but the standard library
and that system.
"""
