using CsCheck;
using KantaGateway.Keys.Custody;

namespace KantaGateway.Tests.Keys;

/// <summary>How many people's keys are given out (law 5).</summary>
public class PatientBudgetsTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 28, 12, 0, 0, TimeSpan.Zero);

    private static Digest Of(int number) => new((UInt128)number);

    private static PatientBudgets Hour(int perRequester, int total) => new([new() { Seconds = 3600, PerRequester = perRequester, Total = total }]);

    [Fact]
    public void The_same_person_is_counted_once_and_the_next_one_past_the_budget_is_refused()
    {
        var budgets = Hour(2, 100);
        Assert.Null(budgets.Spend(Of(1), Of(10), Noon));
        Assert.Null(budgets.Spend(Of(1), Of(10), Noon));
        Assert.Null(budgets.Spend(Of(1), Of(11), Noon));
        var exceeded = budgets.Spend(Of(1), Of(12), Noon.AddMinutes(45))!;
        Assert.Equal((false, TimeSpan.FromMinutes(15)), (exceeded.IsTotal, exceeded.RetryAfter));
        // Who is counted already is still opened, and another requester has a budget of its own.
        Assert.Null(budgets.Spend(Of(1), Of(11), Noon));
        Assert.Null(budgets.Spend(Of(2), Of(12), Noon));
    }

    [Fact]
    public void All_together_have_a_budget_too()
    {
        var budgets = Hour(2, 3);
        foreach (var (requester, person) in ((int, int)[])[(1, 10), (1, 11), (2, 12)])
            Assert.Null(budgets.Spend(Of(requester), Of(person), Noon));
        Assert.True(budgets.Spend(Of(3), Of(13), Noon)!.IsTotal);
        // Somebody counted for one requester costs the others nothing in all.
        Assert.Null(budgets.Spend(Of(3), Of(12), Noon));
    }

    [Fact]
    public void The_next_window_begins_anew_and_a_clock_that_goes_back_does_not()
    {
        var budgets = Hour(1, 1);
        Assert.Null(budgets.Spend(Of(1), Of(10), Noon));
        Assert.NotNull(budgets.Spend(Of(1), Of(11), Noon.AddHours(-5)));
        Assert.Null(budgets.Spend(Of(1), Of(11), Noon.AddHours(1)));
        Assert.NotNull(budgets.Spend(Of(1), Of(12), Noon.AddMinutes(59)));
    }

    [Fact]
    public void A_refusal_of_one_window_counts_in_none()
    {
        var budgets = new PatientBudgets([new() { Seconds = 60, PerRequester = 5, Total = 5 }, new() { Seconds = 3600, PerRequester = 6, Total = 6 }]);
        for (var person = 0; person < 5; person++)
            Assert.Null(budgets.Spend(Of(1), Of(person), Noon));
        for (var person = 5; person < 100; person++)
            Assert.NotNull(budgets.Spend(Of(1), Of(person), Noon));
        Assert.Null(budgets.Spend(Of(1), Of(200), Noon.AddMinutes(1)));
        Assert.Equal(3600, budgets.Spend(Of(1), Of(201), Noon.AddMinutes(2))!.Budget.Seconds);
    }

    [Fact]
    public void However_many_ask_at_once_no_budget_is_passed() => Gen.Select(Gen.Int[1, 20], Gen.Int[1, 40]).Sample((perRequester, more) =>
    {
        var budgets = Hour(perRequester, perRequester + more);
        var given = new System.Collections.Concurrent.ConcurrentDictionary<(int Requester, int Person), bool>();
        Parallel.For(0, 400, number =>
        {
            var (requester, person) = (number % 4, number / 4);
            if (budgets.Spend(Of(requester), Of(1000 + person + requester * 1000), Noon) is null)
                given[(requester, person)] = true;
        });
        return Enumerable.Range(0, 4).All(requester => given.Keys.Count(g => g.Requester == requester) <= perRequester)
            && given.Count == Math.Min(4 * perRequester, perRequester + more);
    }, iter: 200, threads: 1);

    [Fact]
    public void What_was_given_out_before_counts_where_its_window_still_runs()
    {
        var budgets = Hour(1, 5);
        budgets.Restore(Of(1), Of(10), Noon.AddMinutes(1), Noon.AddMinutes(30));
        budgets.Restore(Of(2), Of(20), Noon.AddMinutes(-1), Noon.AddMinutes(30));
        Assert.NotNull(budgets.Spend(Of(1), Of(11), Noon.AddMinutes(30)));
        Assert.Null(budgets.Spend(Of(2), Of(21), Noon.AddMinutes(30)));
    }
}
