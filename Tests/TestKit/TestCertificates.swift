import Foundation

/// Certificates made afresh by the `openssl` command, each its own authority, for `localhost` and `127.0.0.1` unless
/// its name says otherwise.
public final class TestCertificates: Sendable {
    /// Where the files are, removed with this object.
    public let directory: String

    /// Runs `openssl`.
    public init() throws {
        var template = Array("/tmp/lmcall-certificates-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw Failure(status: errno) }
        directory = String(cString: made)
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = ["-ec", Self.script]
        shell.currentDirectoryURL = URL(fileURLWithPath: directory)
        shell.standardError = FileHandle.nullDevice
        try shell.run()
        shell.waitUntilExit()
        guard shell.terminationStatus == 0 else { throw Failure(status: shell.terminationStatus) }
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    /// The key all certificates below were made for.
    public var key: String { directory + "/key.pem" }
    /// A sound certificate.
    public var certificate: String { directory + "/good.pem" }
    /// Ended in 2020.
    public var expired: String { directory + "/expired.pem" }
    /// Made for `elsewhere.example` and `192.0.2.1`.
    public var elsewhere: String { directory + "/elsewhere.pem" }
    /// Good only for proving clients; its names are `spiffe://example/alice`, then `alice.example`, then `test`.
    public var client: String { directory + "/client.pem" }
    /// Good only for proving servers.
    public var serverOnly: String { directory + "/server-only.pem" }
    /// Without alternative names: its common name is `test`.
    public var commonName: String { directory + "/common-name.pem" }
    /// Ends in less than a day.
    public var endingSoon: String { directory + "/ending-soon.pem" }
    /// Another key.
    public var otherKey: String { directory + "/other-key.pem" }
    /// `key`, encrypted.
    public var encryptedKey: String { directory + "/encrypted-key.pem" }

    /// The shell's exit status, or the error number of making the directory.
    public struct Failure: Error { let status: Int32 }

    private static let script = """
        key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out $1; }
        key key.pem
        key other-key.pem
        openssl pkey -in key.pem -aes128 -passout pass:secret -out encrypted-key.pem
        printf '[ca]\\ndefault_ca=x\\n[x]\\ndatabase=index\\nnew_certs_dir=.\\nrand_serial=yes\\ndefault_md=sha256\\n' > ca
        printf 'unique_subject=no\\npolicy=p\\n[p]\\ncommonName=optional\\n[req]\\ndistinguished_name=dn\\n[dn]\\n' >> ca
        touch index
        openssl req -new -config ca -key key.pem -subj /CN=test -out request
        make() {
            printf "$2\\nbasicConstraints=critical,CA:TRUE\\n" > extensions
            openssl ca -batch -config ca -selfsign -keyfile key.pem -in request -out $1.pem -notext \\
                -startdate 20200101000000Z -enddate $3 -extfile extensions
        }
        local=subjectAltName=DNS:localhost,IP:127.0.0.1
        make good $local 20990101000000Z
        make expired $local 20200102000000Z
        make elsewhere subjectAltName=DNS:elsewhere.example,IP:192.0.2.1 20990101000000Z
        make client 'extendedKeyUsage=clientAuth\\nsubjectAltName=DNS:alice.example,URI:spiffe://example/alice' \\
            20990101000000Z
        make server-only "extendedKeyUsage=serverAuth\\n$local" 20990101000000Z
        make common-name keyUsage=digitalSignature,keyCertSign 20990101000000Z
        make ending-soon $local $(date -u -d '+1 hour' +%Y%m%d%H%M%SZ)
        """
}
