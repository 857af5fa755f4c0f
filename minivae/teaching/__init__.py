"""What teaches: the lessons and the exercises, which come with the package.

Nothing else imports from here but the command line.
"""
