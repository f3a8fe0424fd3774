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
        printf 'unique_subject=no\\npolicy=p\\n[p]\\n[req]\\ndistinguished_name=dn\\n[dn]\\n' >> ca
        touch index
        openssl req -new -config ca -key key.pem -subj /CN=test -out request
        make() {
            printf "subjectAltName=$2\\nbasicConstraints=critical,CA:TRUE\\n" > extensions
            openssl ca -batch -config ca -selfsign -keyfile key.pem -in request -out $1.pem -notext \\
                -startdate 20200101000000Z -enddate $3 -extfile extensions
        }
        make good DNS:localhost,IP:127.0.0.1 20990101000000Z
        make expired DNS:localhost,IP:127.0.0.1 20200102000000Z
        make elsewhere DNS:elsewhere.example,IP:192.0.2.1 20990101000000Z
        """
}
