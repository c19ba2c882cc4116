using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Breach;

/// <summary>Whose breadth is counted: a person, or a system with its own token; the client; the organisation.</summary>
enum BreadthOf { Professional, System, Client, Organisation }

/// <summary>That somebody opens only the patients whom an open service event justifies.</summary>
/// <param name="Window">Seconds of the window that was used up, and how many it allows; null: another gateway found out, or this one before it was started anew.</param>
/// <param name="AskAgain">When the alarm may be this gateway's to give; null: it is given, or this one's already.</param>
sealed record SteppedDown(BreadthOf Of, string Organisation, string? ClientId, string? Professional, (int Seconds, int Most)? Window, DateTimeOffset Until, DateTimeOffset? AskAgain = null);

/// <summary>
/// How many patients each requester opens without an open service event of its organisation: professional or system, client and organisation, in windows of a minute, an hour, a day and 30 days. Over the allowance the
/// requester opens only those who are justified, an alarm is given and a case opened.
/// </summary>
/// <remarks>
/// Counted together by all gateways, in <see cref="ISharedState"/>: who asks and whom for as keyed digests. Somebody who is justified costs a look into memory, somebody who was counted lately as well, anybody else one
/// round trip. Where that cannot be made, only those who are justified are opened. That an allowance was used up is kept there until the case is open: a gateway that ends in between leaves it to another. Thread-safe.
/// </remarks>
sealed class BreadthBudgets(ISharedState shared, BreadthOptions options, IdentifierKey key, BreachCases cases, BreachMetrics metrics, TimeProvider time, ILogger<BreadthBudgets> logger)
{
    /// <summary>How long a gateway relies on it that somebody is counted.</summary>
    private static readonly TimeSpan Relied = TimeSpan.FromMinutes(10);

    /// <summary>How long a requester's next question is waited for, which says who it is, before the alarm is given without that.</summary>
    private static readonly TimeSpan Orphaned = TimeSpan.FromMinutes(1);

    private readonly byte[] _key = key.Derive("kanta breadth");
    private readonly RecentCache<(string Caller, Pseudonym Person), DateTimeOffset> _counted = new(50_000);
    private readonly RecentCache<string, SteppedDown> _down = new(10_000);
    private readonly ConcurrentDictionary<string, SteppedDown> _list = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, long> _opened = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<(string Subject, string What)> _owed = [];
    private readonly SemaphoreSlim _opening = new(1);

    /// <summary>The answer to a request for somebody who is not justified, when the requester has used an allowance up.</summary>
    public static Fault Exceeded { get; } = new(FaultKind.Denied,
        "Too many patients have been opened without an open service event, so for a while only those are who have one. Open the visit or the booking first: what it justifies goes on.");

    private static Fault Unknown { get; } = new(FaultKind.StoreUnavailable,
        "How many patients have been opened without an open service event cannot be counted at the moment, so only those are who have one. Open the visit first, or try again.");

    /// <summary>Who is in force as stepped down, as this gateway knows it.</summary>
    public IReadOnlyList<SteppedDown> InForce => [.. _list.Values.Where(one => one.Until > time.GetUtcNow()).OrderBy(static one => one.Until)];

    /// <summary>Whether whom a requester asks for is counted at all: a citizen asks for nobody else, and the directory is nobody's.</summary>
    public static bool Concerns(Requester requester, Pseudonym person) => requester.Kind != RequesterKind.Citizen && !person.IsDirectory;

    /// <summary>Whether a person was counted for a requester on this gateway lately, and whether it is justified matters to nobody but the requester.</summary>
    public bool IsCounted(Requester requester, Pseudonym person) => _counted.TryGet((requester.Caller, person), out var at) && time.GetUtcNow() - at < Relied;

    /// <summary>Counts a person for a requester; one that is justified is not counted any more.</summary>
    /// <returns>Why the person may not be opened; null: it may.</returns>
    public ValueTask<Fault?> OpenAsync(Requester requester, Pseudonym person, bool isJustified)
    {
        if (isJustified)
            return IsCounted(requester, person) ? JustifyAsync(requester, person) : default;
        return CountAsync(requester, person);
    }

    /// <summary>Who of the requester's unit has looked a person up lately, at whichever gateway: a visit that the requester opens justifies that too. Where either names no unit, who of the organisation.</summary>
    /// <returns>The sets in which they are counted.</returns>
    public async ValueTask<IReadOnlyList<string>> LookedUpAsync(Requester requester, Pseudonym person)
    {
        try
        {
            var unit = UnitOf(requester);
            return [.. (await shared.TracesAsync(TraceOf(requester, person), TimeSpan.FromHours(options.LookUpHours)).ConfigureAwait(false))
                .Select(static trace => trace.Split(' ')).Where(trace => unit == NoUnit || trace[0] == NoUnit || trace[0] == unit).SelectMany(static trace => trace[1..]).Distinct(StringComparer.Ordinal)];
        }
        catch (SharedStateException)
        {
            // Counted once too much: care goes on.
            return [];
        }
    }

    /// <summary>A person is justified now who was not before: whoever counted it need not.</summary>
    /// <param name="others">In which sets others of its unit have counted the person.</param>
    public async ValueTask<Fault?> JustifyAsync(Requester requester, Pseudonym person, IReadOnlyList<string>? others = null)
    {
        _counted.Set((requester.Caller, person), DateTimeOffset.MinValue);
        try
        {
            await shared.WithdrawAsync([.. SubjectsOf(requester).Select(static its => its.Key).Union(others ?? [])], DigestOf(person)).ConfigureAwait(false);
        }
        catch (SharedStateException)
        {
            // Counted once too much: care goes on.
        }
        return null;
    }

    private async ValueTask<Fault?> CountAsync(Requester requester, Pseudonym person)
    {
        var now = time.GetUtcNow();
        var subjects = SubjectsOf(requester);
        foreach (var subject in subjects)
            if (_down.TryGet(subject.Key, out var down) && down.Until > now && !(down.AskAgain <= now))
                return await RefuseAsync().ConfigureAwait(false);
        if (IsCounted(requester, person))
            return null;
        SpreadAnswer answer;
        try
        {
            answer = await shared.SpreadAsync([.. subjects.Select(static its => new Spread(its.Key, its.Allowance.Windows))], DigestOf(person), TimeSpan.FromHours(options.StepDownHours),
                new(TraceOf(requester, person), string.Join(' ', subjects.Select(static its => its.Key).Prepend(UnitOf(requester))), TimeSpan.FromHours(options.LookUpHours))).ConfigureAwait(false);
        }
        catch (SharedStateException)
        {
            return Unknown;
        }
        if (answer.Set is not { } at)
        {
            _counted.Set((requester.Caller, person), now);
            return null;
        }
        await StepDownAsync(requester, subjects[at], answer).ConfigureAwait(false);
        return await RefuseAsync().ConfigureAwait(false);
    }

    private async ValueTask StepDownAsync(Requester requester, (BreadthOf Of, string Key, BreadthAllowance Allowance) subject, SpreadAnswer answer)
    {
        (int Seconds, int Most)? window = answer.Window is { } full ? ((int)subject.Allowance.Windows[full].Window.TotalSeconds, subject.Allowance.Windows[full].Most) : null;
        var down = new SteppedDown(subject.Of, requester.Organisation.ToString(), subject.Of == BreadthOf.Organisation ? null : requester.ClientId,
            subject.Of == BreadthOf.Professional ? requester.ProfessionalId : null, window, answer.Until, answer.AskAgain);
        _down.Set(subject.Key, down);
        foreach (var (key, old) in _list)
            if (old.Until <= time.GetUtcNow())
                _list.TryRemove(key, out _);
        _list[subject.Key] = down;
        if (window is not { } its)
            return;
        // :: Of all gateways this one has found out.
        metrics.SteppedDown(NameOf(subject.Of), its.Seconds);
        _owed.Enqueue((subject.Key, WhatOf(Who(subject.Of, requester), its.Most, its.Seconds, answer.Until)));
        await OpenOwedAsync().ConfigureAwait(false);
    }

    /// <summary>Gives the alarm of allowances that were used up at a gateway which has ended before it did, where whoever has used them up does not come again.</summary>
    public async Task LookAsync()
    {
        try
        {
            foreach (var full in await shared.TakeUnsettledAsync(Orphaned).ConfigureAwait(false))
                _owed.Enqueue((full.Key, WhatOf("Somebody, who will be seen at /operator/unusual-access when asking again,", full.Most, (int)full.Window.TotalSeconds, full.Until)));
        }
        catch (SharedStateException)
        {
            // The next look.
        }
        if (!_owed.IsEmpty)
            await OpenOwedAsync().ConfigureAwait(false);
    }

    private static string WhatOf(string who, int most, int seconds, DateTimeOffset until) => string.Create(CultureInfo.InvariantCulture,
        $"{who} opened more than {most} patients within {seconds} seconds without an open service event, and opens only those who have one until {until:yyyy-MM-dd'T'HH:mm'Z'}.");

    private async ValueTask<Fault> RefuseAsync()
    {
        metrics.HeldBack();
        // A disk that did not take a case before.
        if (!_owed.IsEmpty)
            await OpenOwedAsync().ConfigureAwait(false);
        return Exceeded;
    }

    private async Task OpenOwedAsync()
    {
        await _opening.WaitAsync().ConfigureAwait(false);
        try
        {
            await OpenEachAsync().ConfigureAwait(false);
        }
        finally
        {
            _opening.Release();
        }
    }

    private async Task OpenEachAsync()
    {
        while (_owed.TryDequeue(out var owed))
            try
            {
                // Whoever has used the month up does so again with each that leaves it: one case while one is open.
                if (_opened.TryGetValue(owed.Subject, out var known) && cases.IsOpen(known))
                {
                    BreachLog.StillOpen(logger, known, owed.What);
                    await SettleAsync(owed.Subject).ConfigureAwait(false);
                    continue;
                }
                var opened = await cases.OpenAsync(BreachKind.BreadthExceeded, owed.What).ConfigureAwait(false);
                foreach (var (subject, number) in _opened)
                    if (!cases.IsOpen(number))
                        _opened.TryRemove(subject, out _);
                _opened[owed.Subject] = opened.Number;
                BreachLog.OpenedFor(logger, opened.Number, owed.What);
                // :: Durable. Until the store knows so, another gateway may open one more.
                await SettleAsync(owed.Subject).ConfigureAwait(false);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                _owed.Enqueue(owed);
                BreachLog.NoCase(logger, failure.GetType().Name);
                return;
            }
    }

    private async Task SettleAsync(string subject)
    {
        try
        {
            await shared.SettleAsync(subject).ConfigureAwait(false);
        }
        catch (SharedStateException)
        {
            // Somebody's turn comes again, and finds the case.
        }
    }

    private static string Who(BreadthOf of, Requester requester) => of switch
    {
        BreadthOf.Professional => $"A professional of {requester.Organisation}, through the client {requester.ClientId},",
        BreadthOf.System => $"The client {requester.ClientId}, for {requester.Organisation} by its own token,",
        BreadthOf.Client => $"The client {requester.ClientId} with its professionals, for {requester.Organisation},",
        _ => $"The organisation {requester.Organisation}",
    };

    internal static string NameOf(BreadthOf of) => of switch { BreadthOf.Professional => "professional", BreadthOf.System => "system", BreadthOf.Client => "client", _ => "organisation" };

    private (BreadthOf Of, string Key, BreadthAllowance Allowance)[] SubjectsOf(Requester requester)
    {
        var organisation = requester.Organisation.ToString();
        var system = KeyOf("system", $"{requester.ClientId} {organisation}");
        // The allowances of its client and organisation would hold it at theirs, and it would use up what the others have.
        if (requester.ProfessionalId is null && options.Systems.GetValueOrDefault(requester.ClientId) is { } own)
            return [(BreadthOf.System, system, own)];
        return
        [
            // At this organisation: another, whose identity provider says who she is, does not step her down here.
            requester.ProfessionalId is { } professional
                ? (BreadthOf.Professional, KeyOf("professional", $"{organisation}/{professional}"), options.Professional)
                : (BreadthOf.System, system, options.System),
            // A host of many tenants is one client, and each of them has what its organisation has.
            (BreadthOf.Client, KeyOf("client", $"{requester.ClientId} {organisation}"), options.Client),
            (BreadthOf.Organisation, KeyOf("organisation", organisation), options.Organisation),
        ];
    }

    private const string NoUnit = "-";

    private string UnitOf(Requester requester) => requester.Unit is { } unit ? KeyOf("unit", unit)["breadth:".Length..] : NoUnit;

    private string TraceOf(Requester requester, Pseudonym person) => KeyOf("looked", $"{requester.Organisation} {DigestOf(person)}");

    private string KeyOf(string kind, string id) => "breadth:" + Base64Url.EncodeToString(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes($"{kind}\0{id}")).AsSpan(0, 16));

    private string DigestOf(Pseudonym person)
    {
        Span<byte> bytes = stackalloc byte[Pseudonym.Size], digest = stackalloc byte[HMACSHA256.HashSizeInBytes];
        person.Write(bytes);
        HMACSHA256.HashData(_key, bytes, digest);
        return Base64Url.EncodeToString(digest[..16]);
    }
}

/// <summary>Looks every ten seconds for alarms that a gateway which has ended owes.</summary>
sealed class BreadthWatch(BreadthBudgets budgets, TimeProvider time) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(10), time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken).ConfigureAwait(false))
                await budgets.LookAsync().ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }
}
