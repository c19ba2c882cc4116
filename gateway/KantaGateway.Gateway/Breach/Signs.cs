using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Breach;

/// <summary>What is unusual of an access. None of it stops anybody.</summary>
enum Sign
{
    NewHours,
    NewAddress,
    UnusualPurpose,
    Sequential,
    Vip,
    Colleague,
    AfterVisit,
}

/// <summary>By what a search names a person; personal, so it is told to nobody and kept nowhere but in the memory of the last one.</summary>
/// <param name="Code">Null: by none.</param>
/// <param name="Family">Null: by none.</param>
internal sealed record Sought(PersonalIdentityCode? Code, string? Family)
{
    public override string ToString() => "Sought(***)";
}

/// <summary>What is unusual of a requester's accesses within a day.</summary>
/// <param name="Score">The sum of the weights.</param>
sealed record Unusual(string ClientId, string Organisation, string? Professional, int Score, IReadOnlyList<(Sign Sign, int Times, DateTimeOffset Last)> Signs);

/// <summary>
/// Looks at each access beside what its requester did before, and says what is unusual, each in one sentence (<see cref="Explain"/>). Weights sum up to a score of the last day, which the data protection officer sees; over
/// <see cref="BreachOptions.AlarmScore"/> it is an alarm, once a day.
/// </summary>
/// <remarks>In the memory of this gateway, bounded, and learned anew after a restart. Thread-safe.</remarks>
sealed class Signs(GatewayOptions options, BreachMetrics metrics, TimeProvider time, ILogger<Signs> logger, WatchedPeople? people = null)
{
    /// <summary>What must be known of a requester before something is new: days on which it asked, and requests.</summary>
    private const int KnownDays = 5, KnownRequests = 20, KnownPurposes = 50;

    /// <summary>How many in a row in ascending or in descending order are no chance: eight are so by chance once in 20,160 times.</summary>
    private const int InOrder = 8;

    private const int MostAddresses = 64, MostListed = 1_000, MostEvents = 200;

    private static readonly TimeSpan Day = TimeSpan.FromDays(1);
    private static readonly TimeZoneInfo Home = TimeZoneInfo.FindSystemTimeZoneById("Europe/Helsinki");

    private readonly RecentCache<string, Profile> _profiles = new(10_000);
    private readonly RecentCache<(string Caller, Pseudonym Person), byte> _treated = new(100_000);
    private readonly ConcurrentDictionary<string, Profile> _unusual = new(StringComparer.Ordinal);

    private sealed class Profile(Requester requester)
    {
        public readonly Lock Turn = new();
        public readonly (string ClientId, string Organisation, string? Professional) Who = (requester.ClientId, requester.Organisation.ToString(), requester.ProfessionalId);
        public readonly HashSet<int> Hours = [];
        public readonly HashSet<string> Addresses = new(StringComparer.Ordinal);
        public readonly Dictionary<string, int> Purposes = new(StringComparer.Ordinal);
        public readonly Queue<(Sign Sign, DateTimeOffset At)> Events = [];
        public readonly Run Codes = new(), Families = new();
        public int Requests, Days;
        public DateOnly LastDay;
        public DateTimeOffset AlarmedAt = DateTimeOffset.MinValue;
    }

    /// <summary>How many in a row came in one order.</summary>
    private sealed class Run
    {
        private string? _last;
        private int _up, _down;

        /// <returns>Whether this one makes it a sequence: the eighth, and each eighth after it.</returns>
        public bool Add(string next)
        {
            var order = _last is null ? 0 : string.CompareOrdinal(next, _last);
            // The same person once more is no step.
            if (_last is not null && order == 0)
                return false;
            _last = next;
            (_up, _down) = (order >= 0 ? _up + 1 : 1, order <= 0 ? _down + 1 : 1);
            if (Math.Max(_up, _down) < InOrder)
                return false;
            (_up, _down) = (1, 1);
            return true;
        }
    }

    /// <summary>What each is, for a person who has to judge it.</summary>
    public static string Explain(Sign sign) => sign switch
    {
        Sign.NewHours => "It asked at an hour of the day at which it had never asked before, on that kind of day (working day or weekend).",
        Sign.NewAddress => "It asked from a network from which it had never asked before.",
        Sign.UnusualPurpose => "It asked for a purpose that fewer than one in a hundred of its requests had before.",
        Sign.Sequential => $"It asked for {InOrder} people in a row in the order of their identity codes or of their names.",
        Sign.Vip => "It asked for somebody about whom others are curious.",
        Sign.Colleague => "It asked for somebody who works for the same organisation.",
        _ => "It asked for somebody whose visit has ended, and who has no open one.",
    };

    /// <summary>What a sign adds to the score.</summary>
    /// <param name="isJustified">Whether an open service event justifies the access.</param>
    public static int WeightOf(Sign sign, bool isJustified) => sign switch
    {
        Sign.Sequential => 5,
        Sign.Vip or Sign.Colleague => isJustified ? 1 : 4,
        Sign.NewAddress or Sign.UnusualPurpose => 2,
        _ => 1,
    };

    /// <summary>Who has signs of the last day, the highest score first.</summary>
    public IReadOnlyList<Unusual> Of()
    {
        var since = time.GetUtcNow() - Day;
        var all = new List<Unusual>();
        foreach (var (caller, profile) in _unusual)
            lock (profile.Turn)
            {
                var events = profile.Events.Where(one => one.At > since).ToList();
                if (events.Count == 0)
                    _unusual.TryRemove(caller, out _);
                else
                    all.Add(new(profile.Who.ClientId, profile.Who.Organisation, profile.Who.Professional, ScoreOf(profile, since),
                        [.. events.GroupBy(static one => one.Sign).Select(static its => (its.Key, its.Count(), its.Max(static one => one.At)))]));
            }
        return [.. all.OrderByDescending(static one => one.Score)];
    }

    /// <summary>Looks at an access. It costs memory and no round trip.</summary>
    /// <param name="isJustified">Whether an open service event of its organisation justifies it.</param>
    public void Look(Requester requester, IPAddress? address, Pseudonym person, Sought? sought, bool isJustified)
    {
        var now = time.GetUtcNow();
        if (!_profiles.TryGet(requester.Caller, out var profile))
            _profiles.Set(requester.Caller, profile = new(requester));
        lock (profile.Turn)
        {
            foreach (var sign in Find(profile, requester, address, person, sought, isJustified, now))
            {
                metrics.Sign(NameOf(sign));
                for (var weight = WeightOf(sign, isJustified); weight > 0; weight--)
                    profile.Events.Enqueue((sign, now));
            }
            while (profile.Events.Count > MostEvents)
                profile.Events.Dequeue();
            if (profile.Events.Count == 0)
                return;
            if (_unusual.Count < MostListed)
                _unusual.TryAdd(requester.Caller, profile);
            if (now - profile.AlarmedAt >= Day && ScoreOf(profile, now - Day) is var score && score >= options.Breach!.AlarmScore)
            {
                profile.AlarmedAt = now;
                BreachLog.Unusual(logger, score);
            }
        }
    }

    private static int ScoreOf(Profile profile, DateTimeOffset since) => profile.Events.Count(one => one.At > since);

    private List<Sign> Find(Profile profile, Requester requester, IPAddress? address, Pseudonym person, Sought? sought, bool isJustified, DateTimeOffset now)
    {
        var signs = new List<Sign>();
        var home = TimeZoneInfo.ConvertTime(now, Home);
        var hour = (home.DayOfWeek is DayOfWeek.Saturday or DayOfWeek.Sunday ? 24 : 0) + home.Hour;
        if (profile.LastDay != DateOnly.FromDateTime(home.DateTime))
            (profile.LastDay, profile.Days) = (DateOnly.FromDateTime(home.DateTime), profile.Days + 1);
        // A shift that begins a little earlier is none.
        if (profile.Hours.Add(hour) && profile.Days > KnownDays && !profile.Hours.Contains(hour - 1) && !profile.Hours.Contains(hour + 1))
            signs.Add(Sign.NewHours);
        if (NetworkOf(address) is { } network && profile.Addresses.Count < MostAddresses && profile.Addresses.Add(network) && profile.Addresses.Count > 1 && profile.Requests >= KnownRequests)
            signs.Add(Sign.NewAddress);
        var before = profile.Purposes.GetValueOrDefault(requester.PurposeOfUse);
        if (profile.Requests >= KnownPurposes && before * 100 < profile.Requests)
            signs.Add(Sign.UnusualPurpose);
        if (profile.Purposes.Count < MostAddresses || before > 0)
            profile.Purposes[requester.PurposeOfUse] = before + 1;
        profile.Requests++;
        if ((sought?.Code is { } code && profile.Codes.Add(OrderOf(code))) | (sought?.Family is { } family && profile.Families.Add(family.ToUpperInvariant())))
            signs.Add(Sign.Sequential);
        if (people?.IsVip(person) is true)
            signs.Add(Sign.Vip);
        if (people?.IsColleague(person, requester.Organisation.ToString()) is true)
            signs.Add(Sign.Colleague);
        var treated = (requester.Caller, person);
        if (isJustified)
            _treated.Set(treated, 0);
        else if (_treated.TryGet(treated, out _))
            signs.Add(Sign.AfterVisit);
        return signs;
    }

    /// <summary>Century, date of birth and individual number, so that ordinal order is that of births.</summary>
    private static string OrderOf(PersonalIdentityCode code)
    {
        var text = code.Reveal();
        return $"{(text[6] == '+' ? '0' : text[6] is >= 'A' and <= 'F' ? '2' : '1')}{text[4..6]}{text[2..4]}{text[..2]}{text[7..10]}";
    }

    /// <summary>Of IPv4 the /24, of IPv6 the /48; null: none is known.</summary>
    private static string? NetworkOf(IPAddress? address)
    {
        if (address is { IsIPv4MappedToIPv6: true })
            address = address.MapToIPv4();
        return address is null ? null : Convert.ToHexString(address.GetAddressBytes().AsSpan(0, address.AddressFamily == AddressFamily.InterNetworkV6 ? 6 : 3));
    }

    internal static string NameOf(Sign sign) => sign switch
    {
        Sign.NewHours => "new-hours",
        Sign.NewAddress => "new-address",
        Sign.UnusualPurpose => "unusual-purpose",
        Sign.Sequential => "sequential",
        Sign.Vip => "vip",
        Sign.Colleague => "colleague",
        _ => "after-visit",
    };
}
