import ProgramKit
import Testing

/// Tests that run the model: one after the other, because each server takes all cores.
@Suite(.enabled(if: Programs.model != nil, "needs LM_TEST_MODEL"), .serialized, .timeLimit(.minutes(5)))
struct RealModelTests {}
