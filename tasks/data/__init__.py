"""A user's own sequences, in the forms in which public data come: a class, a number, a forecast."""

default = "classify"
