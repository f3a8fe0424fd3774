internal import CAscend

/// The functions of CANN's libraries, as far as they are on this machine.
final class AscendLibraries: @unchecked Sendable {  // immutable after init
    /// Those of this process. Libraries cannot be closed again: they keep threads of their own.
    static let shared = AscendLibraries()

    private let libraries: UnsafeMutablePointer<asc_libraries>

    private init() {
        libraries = .allocate(capacity: 1)
        DriverCall.during("dlopen") { asc_load(libraries) }
    }

    var runtime: asc_runtime { _read { yield libraries.pointee.runtime } }
    var objects: asc_objects { _read { yield libraries.pointee.objects } }
    var management: asc_management { _read { yield libraries.pointee.management } }
    var operators: asc_operators { _read { yield libraries.pointee.operators } }
    var collectives: asc_collectives { _read { yield libraries.pointee.collectives } }

    /// Whether both stages of an operator are there.
    func hasOperator(_ name: String) -> Bool {
        var found = 0
        var index = 0
        while let function = asc_name(index) {
            let text = String(cString: function)
            if text == "aclnn\(name)" || text == "aclnn\(name)GetWorkspaceSize",
                asc_function(libraries, index) != nil
            {
                found += 1
            }
            index += 1
        }
        return found == 2
    }

    /// What became of the libraries of a kind, for people.
    func report(_ kind: asc_kind) -> (isFound: Bool, text: String, found: Int, wanted: Int) {
        withUnsafeBytes(of: &libraries.pointee.reports) { bytes in
            let report = bytes.baseAddress.map { $0.assumingMemoryBound(to: asc_report.self) + Int(kind.rawValue) }
            guard let report else { preconditionFailure("reports have a place") }
            let text = withUnsafeBytes(of: &UnsafeMutablePointer(mutating: report).pointee.text) { text in
                String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
            }
            return (report.pointee.is_found, text, Int(report.pointee.found), Int(report.pointee.wanted))
        }
    }

    /// What of CANN, or which device, is not here, and where it was looked for; nil when all that is needed was found.
    var missing: String? {
        if let library = missingLibrary { return library }
        do throws(AscendError) {
            let count = try AscendDevice.count()
            return count > 0 ? nil : "found CANN, but no NPU: aclrtGetDeviceCount says 0; see npu-smi info"
        } catch {
            return "found CANN, but no NPU: \(error.call) returned \(error.code)"
                + (error.text.isEmpty ? "" : " (\(error.text))")
        }
    }

    /// What several NPUs need to compute together and is not here; nil when it was found.
    var missingCollectives: String? {
        let report = report(ASC_COLLECTIVES)
        return report.isFound ? nil : "found no " + report.text
    }

    private var missingLibrary: String? {
        for kind in [ASC_RUNTIME, ASC_OBJECTS, ASC_OPERATORS_KIND] {
            let report = report(kind)
            if !report.isFound { return "found no " + report.text }
        }
        return nil
    }

    /// Calls a function of a library.
    ///
    /// - Parameters:
    ///   - name: the function's.
    ///   - function: its pointer in the tables.
    /// - Throws: what it returned, with the library's own words; or that it is absent.
    func call<Function>(
        _ name: String, _ function: Function?, _ body: (Function) -> Int32
    ) throws(AscendError) {
        guard let function else { throw .absent(name) }
        let code = DriverCall.during(name) { body(function) }
        guard code == ACL_SUCCESS else { throw AscendError(name, code: code, text: recentMessage) }
    }

    /// What the library told this thread since it was last asked, on one line.
    private var recentMessage: String {
        guard let text = runtime.aclGetRecentErrMsg?() else { return "" }
        let words = String(cString: text).prefix(Self.messageLength).split(whereSeparator: \.isWhitespace)
        return words.joined(separator: " ").printable
    }

    private static let messageLength = 1_000
}
