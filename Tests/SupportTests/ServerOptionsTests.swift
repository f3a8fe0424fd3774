import LMSupport
import Testing

@Suite struct ServerOptionsTests {
    @Test(arguments: [
        ("example.org", "example.org:7433"), ("example.org:80", "example.org:80"), ("10.0.0.1", "10.0.0.1:7433"),
        ("[::1]", "[::1]:7433"), ("[::1]:80", "[::1]:80"), ("::1", "[::1]:7433"), ("unix:/run/x", "unix:/run/x"),
        ("fe80::1:2", "[fe80::1:2]:7433"),
    ])
    func aHostWithoutPortGetsOurs(host: String, endpoint: String) {
        var options = ServerOptions()
        options.host = host
        #expect(options.endpoint == endpoint)
    }

    @Test(arguments: [
        ("UNREACHABLE", ExitCode.cannotConnect), ("UNAUTHENTICATED", .unauthorized), ("NOT_FOUND", .modelUnavailable),
        ("OVERLOADED", .rejected), ("DEADLINE", .deadline), ("ENGINE", .serverError), ("PROTOCOL", .protocolError),
        ("INVALID", .badInput), ("ERROR_999", .failure),
    ])
    func errorsHaveTheirExitCode(name: String, code: ExitCode) {
        #expect(ExitCode(errorName: name) == code)
    }
}
