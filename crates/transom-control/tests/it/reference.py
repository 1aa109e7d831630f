"""Calls a server of the tests as the reference implementation does: it knows
the interface from the server alone, and checks parameters and replies by it."""

import sys

import varlink

TEST = "io.transom.Test"

with varlink.Client.new_with_address("unix:" + sys.argv[1]) as client:
    client.get_interfaces()
    assert sorted(client.info["interfaces"]) == sorted(sys.argv[2:]), client.info
    for name in client.info["interfaces"]:
        interface = client.get_interface(name)
        assert interface.name == name
        print(name, len(interface.members))

    with client.open(TEST) as test:
        assert test.Echo("caf\u00e9 \u0000 \U0001f600") == {"text": "caf\u00e9 \u0000 \U0001f600"}
        assert test.Echo(text="x", _oneway=True) is None
        numbers = [reply["number"] for reply in test.Count(4, _more=True)]
        assert numbers == [1, 2, 3, 4], numbers

        try:
            list(test.Count(3, _more=True))
            raise AssertionError("an odd number")
        except varlink.VarlinkError as error:
            assert error.error() == TEST + ".Odd", error
            assert error.parameters()["number"] == 3, error

        try:
            test.Count(4)
            raise AssertionError("without more")
        except varlink.VarlinkError as error:
            assert error.error() == "org.varlink.service.ExpectedMore", error

        assert test.Who()["pid"] > 0
