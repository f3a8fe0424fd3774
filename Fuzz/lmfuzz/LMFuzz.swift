import FuzzProperties
import Glibc

/// libFuzzer with the property that `LM_FUZZ_TARGET` names; the arguments are libFuzzer's.
@main struct LMFuzz {
    static let target: FuzzTarget = {
        let name = getenv("LM_FUZZ_TARGET").map { String(cString: $0) } ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            print("LM_FUZZ_TARGET is '\(name)', not one of \(FuzzTarget.allCases.map(\.rawValue))")
            exit(2)
        }
        return target
    }()

    static func main() {
        var count = CommandLine.argc
        var arguments = Optional(CommandLine.unsafeArgv)
        exit(
            runDriver(&count, &arguments) { start, count in
                let input = Array(UnsafeBufferPointer(start: start, count: count))
                if let broken = LMFuzz.target.check(input) { fatalError("\(LMFuzz.target): \(broken)") }
                return 0
            })
    }
}

/// libFuzzer's main loop, of which Swift has no header.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt
