import Glibc

/// A key file that only its owner may read, removed with this object.
final class TestKeyFile {
    let path: String

    init(_ text: String) {
        var template = Array("/tmp/lmcall-test-keys-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        close(descriptor)
        replace(with: text)
    }

    deinit { unlink(path) }

    func replace(with text: String) {
        let file = fopen(path, "w")
        fputs(text, file)
        fclose(file)
    }
}
