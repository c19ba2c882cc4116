namespace KantaGateway.Tests.Laws.Hammer;

/// <summary>The checker of histories, on histories of which one sees at a glance what they are.</summary>
public sealed class RegisterTests
{
    private static readonly Visible Both = new(true, true), Second = new(false, true), Nothing = new(false, false);

    /// <summary>Declared at 10, answered at 20.</summary>
    private static readonly Write Denial = new(10, 20, Nothing, "denial of all");

    private static Read Saw(long from, long to, bool? first, bool? second = null) => new(from, to, first, second, "read");

    [Fact]
    public void Accepts_what_was_shown_before_the_denial_was_answered_and_nothing_after() =>
        Assert.Null(Register.Explain(Both, [Denial], [Saw(1, 5, true), Saw(12, 14, true), Saw(15, 25, true), Saw(21, 22, false), Saw(30, 31, false, false)]));

    [Fact]
    public void Rejects_a_request_that_begins_after_the_answer_to_the_denial_and_is_shown_something() =>
        Assert.Contains("denial of all", Register.Explain(Both, [Denial], [Saw(21, 22, true)]));

    [Fact]
    public void Rejects_a_permission_that_the_next_request_does_not_have()
    {
        var permission = new Write(30, 40, Both, "permission");
        Assert.Null(Register.Explain(Both, [Denial, permission], [Saw(35, 36, false), Saw(41, 42, true)]));
        Assert.NotNull(Register.Explain(Both, [Denial, permission], [Saw(41, 42, false)]));
    }

    [Fact]
    public void Accepts_either_while_the_denial_is_under_way_but_not_first_new_and_then_old()
    {
        Assert.Null(Register.Explain(Both, [Denial], [Saw(11, 12, true), Saw(13, 14, false)]));
        Assert.NotNull(Register.Explain(Both, [Denial], [Saw(11, 12, false), Saw(13, 14, true)]));
        // At the same time there is no before.
        Assert.Null(Register.Explain(Both, [Denial], [Saw(11, 14, false), Saw(12, 15, true)]));
    }

    [Fact]
    public void Rejects_an_answer_that_mixes_two_states()
    {
        Write[] writes = [new(10, 20, Second, "denial of the first"), new(30, 40, Both, "withdrawn"), new(50, 60, Nothing, "denial of all")];
        Assert.Null(Register.Explain(Both, writes, [Saw(15, 55, false, true)]));
        Assert.NotNull(Register.Explain(Both, writes, [Saw(15, 55, true, false)]));
    }

    [Fact]
    public void An_answer_that_says_nothing_goes_with_everything() =>
        Assert.Null(Register.Explain(Both, [Denial], [Saw(21, 22, null), Saw(1, 2, null, true)]));

    [Fact]
    public void A_declaration_that_was_never_answered_may_be_in_force_from_its_beginning_or_never()
    {
        var unanswered = Denial with { Returned = long.MaxValue };
        Assert.Null(Register.Explain(Both, [unanswered], [Saw(11, 12, true), Saw(100, 101, true), Saw(102, 103, false), Saw(104, 105, false)]));
        Assert.NotNull(Register.Explain(Both, [unanswered], [Saw(102, 103, false), Saw(104, 105, true)]));
        Assert.NotNull(Register.Explain(Both, [unanswered], [Saw(5, 9, false)]));
    }

    /// <summary>Random short histories against a checker that tries every order.</summary>
    [Fact]
    public void Agrees_with_one_that_tries_every_order()
    {
#pragma warning disable CA5394 // The same numbers give the same histories; nothing here is a secret.
        var (random, rejected) = (new Random(20261128), 0);
        for (var i = 0; i < 3_000; i++)
        {
            var time = 0L;
            var writes = Enumerable.Range(0, random.Next(1, 4)).Select(n => new Write(time += random.Next(1, 4), time += random.Next(1, 4), new(random.Next(2) == 0, random.Next(2) == 0), $"write {n}")).ToArray();
            var reads = Enumerable.Range(0, random.Next(1, 5)).Select(n =>
            {
                var from = random.Next(0, (int)time + 2);
                return new Read(from, from + random.Next(0, 6), random.Next(3) == 0 ? null : random.Next(2) == 0, random.Next(3) == 0 ? null : random.Next(2) == 0, $"read {n}");
            }).ToArray();
            var quick = Register.Explain(Both, writes, reads);
            Assert.Equal(EveryOrder(Both, writes, reads), quick is null);
            rejected += quick is null ? 0 : 1;
        }
        Assert.InRange(rejected, 500, 2_500);
#pragma warning restore CA5394
    }

    /// <summary>The definition: some order of all operations that keeps what was before what, in which every read agrees with the last write.</summary>
    private static bool EveryOrder(Visible value, IReadOnlyList<Write> writes, IReadOnlyList<Read> reads)
    {
        if (reads.Count == 0)
            return true;
        // Next may come whatever did not begin after the end of another that is left.
        var firstEnd = Math.Min(writes.Count > 0 ? writes[0].Returned : long.MaxValue, reads.Min(r => r.Returned));
        return reads.Where(r => r.Invoked <= firstEnd && r.Agrees(value)).Any(r => EveryOrder(value, writes, [.. reads.Where(o => o != r)]))
            || (writes.Count > 0 && writes[0].Invoked <= firstEnd && EveryOrder(writes[0].Value, [.. writes.Skip(1)], reads));
    }
}
