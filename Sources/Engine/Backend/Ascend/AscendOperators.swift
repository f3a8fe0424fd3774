internal import CAscend

/// Runs operators on a stream, with workspace from an arena that they share: one stream works at one of them at a time.
struct AscendOperators {
    let stream: aclrtStream?
    let workspace: AscendArena

    /// Runs an operator's stage 1, which checks and plans, and enqueues it.
    ///
    /// - Parameter stage: the call of stage 1, given where to put the bytes of workspace and the executor.
    /// - Throws: what the operator or the runtime returned.
    func run<Plan>(
        _ name: String, _ plan: Plan?, _ launch: asc_launch?,
        _ stage: (Plan, UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<OpaquePointer?>) -> Int32
    ) throws(AscendError) {
        let libraries = AscendLibraries.shared
        var byteCount: UInt64 = 0
        var executor: OpaquePointer?
        try libraries.call("\(name)GetWorkspaceSize", plan) { stage($0, &byteCount, &executor) }
        try workspace.ensure(Int(clamping: byteCount))
        let memory = byteCount == 0 ? nil : workspace.base
        try libraries.call(name, launch) { $0(memory, byteCount, executor, stream) }
    }
}
