"""How long a test waits before it gives up: bounds that only guard against hanging, each many times what is needed.

A test that fails at one of these did not meet a slow machine; it waited for something that does not come. What a test
measures, as the ten seconds that a drain has after SIGTERM, is not here but in the test itself.
"""

#: For something that another process, a service or a page does.
WAIT_SECONDS_MAX = 240.0
#: For the end of a command: an installation, terraform, a process of the command line.
COMMAND_SECONDS_MAX = 600.0
#: For one scenario of tests/faults, which runs beside all others.
SCENARIO_SECONDS_MAX = 900.0
#: For one test with all its fixtures; longer than the waits within it, which say what they waited for.
TEST_SECONDS_MAX = 1_800.0
