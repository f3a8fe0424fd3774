import CAscend
import Testing

extension SimulatorTests {
    /// Executors that are launched more than once.
    @Suite struct RepeatableTests {
        @Test func aRepeatableExecutorIsLaunchedAgainAndTakesOtherAddresses() throws {
            let machine = try Machine()
            let repeated = try Repeated(machine)
            for _ in 0..<3 { try repeated.launch(machine) }
            try machine.synchronize()
            let norm = repeated.norm
            #expect(try machine.read(norm.y).allSatisfy { $0 == 1 })
            // Other inputs, other outputs; what was planned stays.
            let x = try machine.upload((0..<128).map { brain($0 < 64 ? 2 : -3) })
            let y = try machine.allocate(256)
            try machine.check(machine.objects.aclSetInputTensorAddr(repeated.executor, 0, norm.x.handle, x))
            try machine.check(machine.objects.aclSetOutputTensorAddr(repeated.executor, 0, norm.y.handle, y))
            try repeated.launch(machine)
            try machine.synchronize()
            let values = try machine.download(y, 128, UInt16(0)).map { Float(bitPattern: UInt32($0) << 16) }
            #expect(values == (0..<128).map { $0 < 64 ? 1 : -1 })
            #expect(try machine.read(norm.y).allSatisfy { $0 == 1 }, "the first output is left alone")
            var place: UnsafeMutableRawPointer?
            try machine.check(machine.objects.aclGetRawTensorAddr(norm.x.handle, &place))
            #expect(place == x, "the tensor itself has moved")
            try machine.check(machine.objects.aclDestroyAclOpExecutor(repeated.executor))
            try machine.check(machine.objects.aclDestroyTensor(norm.x.handle))
        }

        @Test func aListIsToldByItsPlaceAmongTheParameters() throws {
            let machine = try Machine()
            let grouped = try RepeatedGroups(machine)
            try machine.check(
                machine.objects.aclSetDynamicTensorAddr(
                    grouped.executor, RepeatedGroups.outputs, 0, grouped.out, grouped.places[1]))
            for _ in 0..<2 { try grouped.launch(machine) }
            try machine.synchronize()
            let values = try machine.download(grouped.places[1], 48, UInt16(0)).map {
                Float(bitPattern: UInt32($0) << 16)
            }
            #expect(values == (0..<48).map { $0 < 32 ? 16 : 32 })
        }
    }
}
