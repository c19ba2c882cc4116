using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary>
/// The main scenario: a clinic archives visits, another clinic sees nothing of them, the citizen permits, the other
/// clinic reads, the citizen denies, it is gone again, and the citizen sees who read what.
/// </summary>
/// <remarks>
/// Runs against any gateway, any number of times: what others see is compared with what they saw before the visits
/// were archived, not with an empty record.
/// </remarks>
public sealed class VisitScenario : IDisposable
{
    /// <summary>Types of a visit that are found by search.</summary>
    private static readonly string[] Searched = ["Encounter", "Condition", "Observation", "DocumentReference"];

    private readonly ClinicClient _archivist;
    private readonly ClinicClient _reader;
    private readonly CitizenClient _citizen;
    private readonly FhirSession _professional;
    private readonly Dictionary<string, string> _before = [];
    private readonly string _marker = Guid.NewGuid().ToString("N");

    // Set by the steps, in their order.
    private string _patient = "";
    private ArchivedVisit _first = null!;
    private ArchivedVisit _second = null!;
    private string? _oldLink;
    private DateTimeOffset _began;

    /// <param name="citizen">Position in <c>citizens.json</c>; null takes the first adult.</param>
    public VisitScenario(DevFolder folder, Uri target, int? citizen = null, string archivist = "aurora", string reader = "revontuli")
    {
        _archivist = ClinicClient.Open(folder, archivist, target);
        _reader = ClinicClient.Open(folder, reader, target);
        _citizen = new(folder, target, citizen ?? folder.FirstAdult);
        Professional = folder.ProfessionalOf(reader);
        _professional = _reader.Professional(Professional.Id);
    }

    public ProfessionalEntry Professional { get; }

    public string Diagnosis => $"Keskivaikea masennustila {_marker}";

    public string Note => $"Potilas kertoo unettomuudesta ja pelostaan, että muistiinpanot vuotavat: {_marker}.";

    /// <summary>
    /// Personal data and secrets that the scenario used, which must not lie in the clear anywhere afterwards: identity
    /// code, names, texts, tokens, cookies.
    /// </summary>
    public IReadOnlyList<string> Secrets =>
    [
        _citizen.Entry.IdentityCode,
        _citizen.Entry.Name,
        .. _citizen.Entry.Name.Split(' ').Where(n => n.Length > 4), // shorter ones turn up in random bytes
        Professional.Name,
        _marker, Diagnosis, Note,
        .. _archivist.TokensSeen, .. _reader.TokensSeen,
        .. _citizen.CookieValues.Where(v => v.Length >= 16),
    ];

    public async Task RunAsync(Steps steps, CancellationToken cancel = default)
    {
        steps.Restart();
        _began = DateTimeOffset.UtcNow;
        await steps.ThenAsync("consent.ready", "the gateway is ready and says what it is", () => DiscoverAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.tokens", "both clinics and a professional get tokens of at most 300 s", () => TokensAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.sign-in", "the citizen signs in through the broker and withdraws whatever was in force", () => CleanSlateAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.own-visit", $"{_reader.Name} opens a visit of its own for the citizen", () => OpenVisitAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.archive", $"{_archivist.Name} archives two visits, each in a transaction", () => ArchiveAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.own-register", $"{_archivist.Name} reads its own register back", () => ReadOwnAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.hidden", $"{_reader.Name} sees nothing of them, as if they had never been", () => NothingAsync("before a permission", cancel)).ConfigureAwait(false);
        await steps.ThenAsync("portal.own-records", "the citizen sees both visits in the portal", () => OwnRecordsAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.permit", "the citizen is informed and permits disclosure", () => PermitAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.read", $"{_reader.Name}'s professional reads both visits", () => ReadsAsync([_first, _second], cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.page-link", "a page link of that search leads on", () => PageLinkAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.deny-all", "the citizen denies everything", () => DenyAllAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.denied", "it is gone again, totals included", () => NothingAsync("under a denial of everything", cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.old-link", "the old page link discloses nothing", () => OldLinkAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.deny-event", "the citizen denies one service event instead", () => DenyOneAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.event-hidden", "only that visit is hidden", () => OneHiddenAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("consent.withdraw", "the citizen withdraws the permission and all is gone", () => WithdrawAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("audit.access-log", "the citizen sees in the access log who read what", () => AccessLogAsync(cancel)).ConfigureAwait(false);
        await steps.ThenAsync("portal.addresses", "no address of the portal or the broker held an identity code or a name", Addresses).ConfigureAwait(false);
        await ReceiptChecks.RunAsync(steps, _archivist, _reader, cancel).ConfigureAwait(false);
        await ReceiptChecks.RunAsync(steps, _reader, _archivist, cancel).ConfigureAwait(false);
    }

    public void Dispose()
    {
        _archivist.Dispose();
        _reader.Dispose();
        _citizen.Dispose();
    }

    private async Task DiscoverAsync(CancellationToken cancel)
    {
        foreach (var path in (string[])["/health/live", "/health/ready"])
            Expect.Status(await _archivist.SendAsync(HttpMethod.Get, path, cancel: cancel).ConfigureAwait(false), path, 200);
        foreach (var path in (string[])["/.well-known/smart-configuration", "/fhir/.well-known/smart-configuration"])
        {
            var configuration = Expect.Status(await _archivist.SendAsync(HttpMethod.Get, path, cancel: cancel).ConfigureAwait(false), path, 200).Json;
            var endpoint = configuration.GetProperty("token_endpoint").GetString();
            Expect.That(endpoint == _archivist.Client.TokenUrl.ToString(), $"token_endpoint {_archivist.Client.TokenUrl}", endpoint ?? "none");
        }
        var metadata = Expect.Status(await _archivist.SendAsync(HttpMethod.Get, "metadata", cancel: cancel).ConfigureAwait(false), "metadata", 200);
        Expect.That(Appearance.Kind(metadata.Json) == "CapabilityStatement", "a CapabilityStatement", Appearance.Kind(metadata.Json));
    }

    private async Task TokensAsync(CancellationToken cancel)
    {
        foreach (var clinic in (ClinicClient[])[_archivist, _reader])
        {
            var token = await clinic.RequestSystemTokenAsync(cancel: cancel).ConfigureAwait(false);
            Expect.That(token.ExpiresIn <= TimeSpan.FromSeconds(300), "a life of at most 300 s", $"{token.ExpiresIn.TotalSeconds} s");
        }
        await _reader.ProfessionalTokenAsync(Professional.Id, cancel: cancel).ConfigureAwait(false);
    }

    private async Task CleanSlateAsync(CancellationToken cancel)
    {
        await _citizen.SignInAsync(cancel).ConfigureAwait(false);
        await _citizen.WithdrawEverythingAsync(cancel).ConfigureAwait(false);
        var state = await _citizen.ConsentAsync(cancel).ConfigureAwait(false);
        Expect.That(state is { Permission: null, Denials.Count: 0 }, "no permission and no denial in force", $"permission {state.Permission is not null}, {state.Denials.Count} denials");
    }

    private async Task OpenVisitAsync(CancellationToken cancel)
    {
        _patient = await ArchivedVisit.RegisterAsync(_reader.System, _citizen.Entry.IdentityCode, _citizen.Entry.Name, cancel).ConfigureAwait(false);
        var encounter = Some.Encounter($"Patient/{_patient}", Some.ServiceEvent(_reader));
        Expect.Status(await _reader.System.CreateAsync("Encounter", Some.Bytes(encounter), cancel: cancel).ConfigureAwait(false), "opening a visit", 201);
        foreach (var type in Searched)
            _before[type] = Appearance.Of(await SearchAsync(type, cancel).ConfigureAwait(false));
    }

    private async Task ArchiveAsync(CancellationToken cancel)
    {
        var id = await ArchivedVisit.RegisterAsync(_archivist.System, _citizen.Entry.IdentityCode, _citizen.Entry.Name, cancel).ConfigureAwait(false);
        Expect.That(id == _patient, "the same Patient id for the same person at every clinic", "another id");
        _first = await ArchivedVisit.StoreAsync(_archivist.System, id, Diagnosis, Note, cancel).ConfigureAwait(false);
        _second = await ArchivedVisit.StoreAsync(_archivist.System, id, Diagnosis, Note, cancel).ConfigureAwait(false);
    }

    private async Task ReadOwnAsync(CancellationToken cancel)
    {
        foreach (var (type, id) in _first.Resources)
        {
            var reply = Expect.Status(await _archivist.System.ReadAsync(type, id, cancel).ConfigureAwait(false), $"reading the own {type}", 200);
            if (type == "Binary")
                Expect.That(reply.Json.GetProperty("data").GetString() == Convert.ToBase64String(Encoding.UTF8.GetBytes(Note)), "the note as it was sent", "another text");
            if (type == "DocumentReference")
            {
                var url = reply.Json.GetProperty("content")[0].GetProperty("attachment").GetProperty("url").GetString();
                var binary = _first.Resources.Single(r => r.Type == "Binary").Id;
                Expect.That(url?.EndsWith($"Binary/{binary}", StringComparison.Ordinal) == true, "the note's address resolved to its Binary", "another address");
            }
        }
    }

    /// <summary>Every resource and every search of the visits answers as before they were archived.</summary>
    private async Task NothingAsync(string when, CancellationToken cancel)
    {
        foreach (var (type, id) in _first.Resources.Concat(_second.Resources))
            await SameAsAbsentAsync(type, id, when, cancel).ConfigureAwait(false);
        foreach (var type in Searched)
        {
            var reply = await SearchAsync(type, cancel).ConfigureAwait(false);
            var difference = Appearance.Difference(_before[type], Appearance.Of(reply));
            Expect.That(difference is null, $"the same {type} searchset as before the visits were archived, {when}", difference ?? "");
        }
    }

    private async Task SameAsAbsentAsync(string type, string id, string when, CancellationToken cancel)
    {
        var absent = Guid.NewGuid().ToString("D");
        foreach (var suffix in (string[])["", "/_history"])
        {
            var hidden = await _professional.SendAsync(HttpMethod.Get, $"{type}/{id}{suffix}", cancel: cancel).ConfigureAwait(false);
            Expect.Status(hidden, $"a hidden {type}{suffix} {when}", 404);
            var never = await _professional.SendAsync(HttpMethod.Get, $"{type}/{absent}{suffix}", cancel: cancel).ConfigureAwait(false);
            var difference = Appearance.Difference(Appearance.Of(hidden, id), Appearance.Of(never, absent));
            Expect.That(difference is null, $"a hidden {type}{suffix} to look like an absent one {when}", difference ?? "");
        }
    }

    private async Task OwnRecordsAsync(CancellationToken cancel)
    {
        var visits = await _citizen.RecordsAsync("/records/kind/visits", cancel).ConfigureAwait(false);
        foreach (var visit in (ArchivedVisit[])[_first, _second])
            Expect.That(visits.Any(v => v.ServiceEvent == visit.ServiceEvent), "the archived visit among the citizen's own", $"{visits.Count} other visits");
    }

    private async Task PermitAsync(CancellationToken cancel)
    {
        var state = await _citizen.ConsentAsync(cancel).ConfigureAwait(false);
        if (state.Informed is null)
            await _citizen.BeInformedAsync(cancel).ConfigureAwait(false);
        await _citizen.PermitAsync(cancel).ConfigureAwait(false);
        state = await _citizen.ConsentAsync(cancel).ConfigureAwait(false);
        Expect.That(state is { Informed: not null, Permission: not null, Denials.Count: 0 }, "informed and permitted", $"{state}");
    }

    private async Task ReadsAsync(ArchivedVisit[] visits, CancellationToken cancel)
    {
        foreach (var visit in visits)
            foreach (var (type, id) in visit.Resources)
                Expect.Status(await _professional.ReadAsync(type, id, cancel).ConfigureAwait(false), $"reading a permitted {type}", 200);
        foreach (var type in Searched)
        {
            var reply = await AllOfAsync(type, cancel).ConfigureAwait(false);
            foreach (var id in visits.SelectMany(v => v.Resources).Where(r => r.Type == type).Select(r => r.Id))
                Expect.That(reply.Contains(id), $"the permitted {type} in its searchset", $"{reply.Count} others");
        }
    }

    private async Task PageLinkAsync(CancellationToken cancel)
    {
        var page = Expect.Status(await _professional.SearchAsync("Observation", $"patient={_patient}&_count=1", cancel).ConfigureAwait(false), "a search of one entry a page", 200);
        _oldLink = Appearance.Next(page);
        Expect.That(_oldLink is not null, "a next link, since there are more", "none");
        Expect.That(!PersonalIdentityCode.Occurs(_oldLink) && !_oldLink!.Contains(_patient, StringComparison.Ordinal), "a link that names no patient", "one that does");
        var next = Expect.Status(await _professional.SendAsync(HttpMethod.Get, _oldLink!, cancel: cancel).ConfigureAwait(false), "the next page", 200);
        Expect.That(Appearance.Ids(next).Count == 1, "one entry on the next page", $"{Appearance.Ids(next).Count}");
        // The last page holds the newest entries, which are the ones to be denied.
        for (var link = Appearance.Next(next); link is not null; link = Appearance.Next(next))
        {
            _oldLink = link;
            next = Expect.Status(await _professional.SendAsync(HttpMethod.Get, link, cancel: cancel).ConfigureAwait(false), "a later page", 200);
        }
        Expect.That(Appearance.Ids(next).Any(IsOurs), "a visit's Observation on the last page", "another");
    }

    private async Task DenyAllAsync(CancellationToken cancel)
    {
        await _citizen.DenyAllAsync(cancel).ConfigureAwait(false);
        var state = await _citizen.ConsentAsync(cancel).ConfigureAwait(false);
        Expect.That(state.Denials is [{ Target: "all" }], "one denial of everything in force", $"{state.Denials.Count} denials");
    }

    private async Task OldLinkAsync(CancellationToken cancel)
    {
        var reply = await _professional.SendAsync(HttpMethod.Get, _oldLink!, cancel: cancel).ConfigureAwait(false);
        Expect.That(reply.Status < 500, "an answer", $"{reply}");
        Expect.That(!_first.Resources.Concat(_second.Resources).Any(r => reply.Text.Contains(r.Id, StringComparison.Ordinal)), "nothing of the visits behind the old link", "one of their ids");
    }

    private async Task DenyOneAsync(CancellationToken cancel)
    {
        foreach (var denial in (await _citizen.ConsentAsync(cancel).ConfigureAwait(false)).Denials)
            await _citizen.WithdrawAsync(denial.Id, cancel).ConfigureAwait(false);
        await ReadsAsync([_first, _second], cancel).ConfigureAwait(false);
        await _citizen.DenyEventAsync(_second.ServiceEvent, cancel).ConfigureAwait(false);
        var state = await _citizen.ConsentAsync(cancel).ConfigureAwait(false);
        Expect.That(state.Denials is [{ Target: "event" } one] && one.ServiceEvent == _second.ServiceEvent, "one denial of the service event in force", $"{state.Denials.Count} denials");
    }

    private async Task OneHiddenAsync(CancellationToken cancel)
    {
        await ReadsAsync([_first], cancel).ConfigureAwait(false);
        foreach (var (type, id) in _second.Resources)
            await SameAsAbsentAsync(type, id, "under a denial of its service event", cancel).ConfigureAwait(false);
        foreach (var type in Searched)
        {
            var ids = await AllOfAsync(type, cancel).ConfigureAwait(false);
            Expect.That(!_second.Resources.Any(r => ids.Contains(r.Id)), $"nothing of the denied service event in a {type} searchset", "one of its ids");
        }
    }

    private async Task WithdrawAsync(CancellationToken cancel)
    {
        await _citizen.WithdrawEverythingAsync(cancel).ConfigureAwait(false);
        await NothingAsync("after the permission was withdrawn", cancel).ConfigureAwait(false);
    }

    private async Task AccessLogAsync(CancellationToken cancel)
    {
        var lines = await _citizen.AccessLogAsync(cancel).ConfigureAwait(false);
        var recent = lines.Where(l => l.When >= _began.AddSeconds(-5)).ToList();
        Expect.That(recent.Any(l => l.Organisation.Contains(_reader.Name, StringComparison.OrdinalIgnoreCase) && l is { Purpose: "TREAT", Items: > 0 }),
            $"lines that say {_reader.Name} received entries for treatment", $"{lines.Count} lines, {recent.Count} of them new, from {string.Join(", ", recent.Select(l => l.Organisation).Distinct())}");
        Expect.That(recent.Any(l => l.Organisation.Contains(_archivist.Name, StringComparison.OrdinalIgnoreCase)), $"lines about {_archivist.Name} too", "none");
        Expect.That(recent.All(l => l.LegalBasis.Length > 0), "a legal basis in every line", "one without");
        var page = await _citizen.GetAsync("/access-log", cancel).ConfigureAwait(false);
        Expect.That(!page.Text.Contains(Professional.Name, StringComparison.Ordinal), "organisations and not employees by name (Act 703/2023 §74)", "a professional's name");
    }

    private Task Addresses()
    {
        foreach (var address in _citizen.Visited)
        {
            var text = Uri.UnescapeDataString(address.ToString());
            Expect.That(!PersonalIdentityCode.Occurs(text) && !_citizen.Entry.Name.Split(' ').Any(n => n.Length > 3 && text.Contains(n, StringComparison.OrdinalIgnoreCase)),
                "addresses without personal data", $"some in an address under {address.AbsolutePath.Split('/')[1]}");
        }
        return Task.CompletedTask;
    }

    private bool IsOurs(string id) => _first.Resources.Concat(_second.Resources).Any(r => r.Id == id);

    private async Task<FhirReply> SearchAsync(string type, CancellationToken cancel) =>
        Expect.Status(await _professional.SearchAsync(type, $"patient={_patient}", cancel).ConfigureAwait(false), $"a search of {type}", 200);

    /// <summary>Ids of every page.</summary>
    private async Task<HashSet<string>> AllOfAsync(string type, CancellationToken cancel)
    {
        var page = await SearchAsync(type, cancel).ConfigureAwait(false);
        var total = Appearance.Total(page);
        var ids = Appearance.Ids(page).ToHashSet();
        while (Appearance.Next(page) is { } next)
        {
            page = Expect.Status(await _professional.SendAsync(HttpMethod.Get, next, cancel: cancel).ConfigureAwait(false), "a later page", 200);
            ids.UnionWith(Appearance.Ids(page));
        }
        Expect.That(ids.Count == total, $"as many {type} on the pages as the total says", $"{ids.Count} of {total}");
        return ids;
    }
}
