"""Stands in for visdom, which adv-lib imports for the plots of its callbacks, unused here."""
