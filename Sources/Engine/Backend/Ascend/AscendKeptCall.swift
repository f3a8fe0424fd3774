internal import CAscend

/// Collects the plans of one call that is to be launched more than once.
final class AscendPlanKeeper {
    private var plans: [AscendPlannedOperator] = []
    /// Whether the library let every plan be kept. It does not where an operator copies between host and device by itself.
    private var keepsAll = true

    /// Keeps a plan, whose stage 1 must be the last that this thread ran.
    func keep(_ planned: AscendPlannedOperator) {
        let (libraries, executor) = (AscendLibraries.shared, planned.executor)
        guard keepsAll, libraries.objects.aclDestroyAclOpExecutor != nil else { return keepsAll = false }
        do throws(AscendError) {
            try libraries.call("aclSetAclOpExecutorRepeatable", libraries.objects.aclSetAclOpExecutorRepeatable) {
                $0(executor)
            }
            plans.append(planned)
        } catch {
            keepsAll = false
        }
    }

    /// The plans, which are the caller's from now on; nil if not all could be kept.
    func take() -> [AscendPlannedOperator]? {
        guard keepsAll else { return nil }
        defer { plans = [] }
        return plans
    }

    /// Destroys what was not taken.
    func release() {
        for plan in plans { plan.destroy() }
        plans = []
    }
}

/// One call of a program, planned for as many launches as are wanted, with what it was planned with: the library reads
/// these objects at every launch.
final class AscendKeptCall {
    private let plans: [AscendPlannedOperator]
    private var objects: AscendObjects

    /// Plans and objects are its own from now on.
    init(_ plans: [AscendPlannedOperator], _ objects: AscendObjects) {
        (self.plans, self.objects) = (plans, objects)
    }

    deinit {
        for plan in plans { plan.destroy() }
        objects.destroy()
    }

    /// Enqueues the call once more.
    ///
    /// - Throws: what the operator or the runtime returned.
    func launch(_ operators: AscendOperators) throws(AscendError) {
        for plan in plans { try operators.enqueue(plan) }
    }
}
