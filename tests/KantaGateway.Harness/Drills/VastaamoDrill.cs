using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Client;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Harness.Drills;

/// <summary>
/// What was done at Vastaamo between 2018 and 2020 (an open database, a copied disk, a theft in bulk that nobody saw, logs that could be changed, a breach that was hidden and patients who were told late), staged against a
/// development host: thirty fictional people with therapy notes, and a thief.
/// </summary>
/// <remarks>It changes what lies in the data folder, and puts it back. Run it against nothing that anybody needs.</remarks>
public sealed class VastaamoDrill : IDisposable
{
    private const int People = 30;

    /// <summary>How long something may take to surface before it counts as hidden.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Who is told of cases in the development host.</summary>
    private static readonly string[] Desks = ["supervisor", "ombudsman"];

    private readonly DevFolder _folder;
    private readonly Uri _target;
    private readonly ClinicClient _clinic;
    private readonly HostileAdministrator _administrator;
    private readonly List<Victim> _victims = [];
    private OperatorClient _officer = null!;
    private long _case;

    /// <summary>One of the people, and what a thief would want of them.</summary>
    private sealed record Victim(string IdentityCode, string Name, string Note, ArchivedVisit Visit);

    public VastaamoDrill(DevFolder folder, Uri target)
    {
        (_folder, _target, _administrator) = (folder, target, new(folder));
        _clinic = ClinicClient.Open(folder, "terapia", target);
    }

    public async Task RunAsync(Drill drill, CancellationToken cancel = default)
    {
        await PrepareAsync(cancel).ConfigureAwait(false);
        await drill.AttackAsync("the disk of the running host is copied and searched", _ => SearchAsync(() => Task.FromResult(StolenDisk.Copy(_folder)))).ConfigureAwait(false);
        await drill.AttackAsync("a backup is taken away and searched", _ => SearchAsync(() => StolenDisk.BackUpAsync(_folder, cancel))).ConfigureAwait(false);
        await drill.AttackAsync("an access token is stolen and used from elsewhere", watch => UseStolenTokenAsync(watch, cancel)).ConfigureAwait(false);
        await drill.AttackAsync("a clinic's system is taken over, certificate and keys, and asks for everybody on a list", watch => ScrapeAsync(watch, cancel)).ConfigureAwait(false);
        await drill.AttackAsync("the copied audit log is changed so that the theft is not in it", ChangeAuditLogAsync).ConfigureAwait(false);
        await drill.AttackAsync("a record is put back in the database to before its last entry", watch => RollBackAsync(watch, cancel)).ConfigureAwait(false);
        await drill.AttackAsync("the breach is kept from the authorities for eighteen months", watch => HideAsync(watch, cancel)).ConfigureAwait(false);
        await drill.AttackAsync("the patients learn of it from the blackmailer", watch => TellLateAsync(watch, cancel)).ConfigureAwait(false);
    }

    public void Dispose()
    {
        _clinic.Dispose();
        _officer?.Dispose();
    }

    private async Task PrepareAsync(CancellationToken cancel)
    {
        _officer = await OperatorClient.SignInAsync(_folder, _target, 1, cancel).ConfigureAwait(false);
        for (var i = 0; i < People; i++)
        {
            var marker = Guid.NewGuid().ToString("N");
            var (code, name, note) = (FictionalIdentityCode.Of("drill/" + marker).Reveal(), $"Testi {marker[..12]}", $"Potilas kertoo asiasta, jota ei ole kertonut kenellekään: {marker}.");
            var patient = await ArchivedVisit.RegisterAsync(_clinic.System, code, name, cancel).ConfigureAwait(false);
            _victims.Add(new(code, name, note, await ArchivedVisit.StoreAsync(_clinic.System, patient, "Keskivaikea masennustila " + marker, note, cancel).ConfigureAwait(false)));
        }
    }

    private async Task<Outcome> SearchAsync(Func<Task<StolenDisk>> take)
    {
        using var stolen = await take().ConfigureAwait(false);
        var (bytes, files) = stolen.Size;
        // What is found must be there to be found: a note that lies in the clear is.
        var planted = Path.Combine(stolen.Folder, "planted");
        await File.WriteAllTextAsync(planted, _victims[0].Note).ConfigureAwait(false);
        Expect.That(ClearText.Find(stolen.Folder, [_victims[0].Note]).Count == 1, "a planted note to be found, and that one alone", "another result");
        File.Delete(planted);
        var found = ClearText.Find(stolen.Folder, [.. _victims.SelectMany(static v => (string[])[v.IdentityCode, v.Name, v.Note])]);
        return new(string.Create(CultureInfo.InvariantCulture, $"{bytes / 1_000_000.0:0.0} MB in {files} files; of {People} identity codes, names and notes: {found.Count}"),
            Problem: found.Count == 0 ? null : $"expected nothing in the clear; came {string.Join("; ", found.Take(3))}");
    }

    private async Task<Outcome> UseStolenTokenAsync(Stopwatch watch, CancellationToken cancel)
    {
        var token = await _clinic.TokenAsync(cancel).ConfigureAwait(false);
        using var another = ClinicClient.Open(_folder, "terapia", _target, certificateOf: "revontuli");
        using var nobody = ClinicClient.Open(_folder, "terapia", _target, certificateOf: "");
        var (asked, got) = (0, 0);
        foreach (var thief in new[] { another, nobody })
            foreach (var victim in _victims)
            {
                asked++;
                var reply = await thief.SendAsync(HttpMethod.Get, $"Patient/{victim.Visit.Patient}/$everything", token, cancel: cancel).ConfigureAwait(false);
                Expect.Status(reply, "a token without its certificate", 401, 403, 429);
                got += reply.Text.Contains(victim.Name, StringComparison.Ordinal) ? 1 : 0;
            }
        return new($"{got} of {People} people in {asked} requests, each refused: a token is bound to its certificate", "each refusal, with its reason, at the one who sent it", watch.Elapsed);
    }

    private async Task<Outcome> ScrapeAsync(Stopwatch watch, CancellationToken cancel)
    {
        // Patients of the clinic itself, whose visits are over: nothing but their number is against reading them.
        var listed = new List<(string Patient, string Marker)>();
        for (var i = 0; i < People; i++)
        {
            var marker = $"urn:uuid:{Guid.NewGuid()}";
            var patient = await ArchivedVisit.RegisterAsync(_clinic.System, FictionalIdentityCode.Of("drill/" + marker).Reveal(), "Testi Listattu", cancel).ConfigureAwait(false);
            Expect.Status(await _clinic.System.CreateAsync("Observation", Some.Bytes(Some.Observation("Patient/" + patient, identifier: marker)), cancel: cancel).ConfigureAwait(false), "an entry of somebody on the list", 201);
            listed.Add((patient, marker));
        }
        watch.Restart();
        var taken = 0;
        foreach (var (patient, marker) in listed)
        {
            var reply = await _clinic.System.SearchAsync("Observation", "patient=" + patient, cancel).ConfigureAwait(false);
            Expect.Status(reply, "a search for somebody on the list", 200, 403, 429);
            taken += reply.Text.Contains(marker, StringComparison.Ordinal) ? 1 : 0;
        }
        var isOpen = await SurfacesAsync("breadth-exceeded", cancel).ConfigureAwait(false);
        // Care goes on: whom the clinic treats it reads as before.
        Expect.Status(await _clinic.System.SearchAsync("Observation", "patient=" + _victims[0].Visit.Patient, cancel).ConfigureAwait(false), "a patient with an open visit", 200);
        return new($"{taken} of {People} people", isOpen ? "the budget of patients without an open visit stops it, and a breach case opens; who has one is treated as before" : null, watch.Elapsed,
            taken >= 20 ? $"expected fewer than 20; came {taken} (a development host with --breadth false does not count)" : isOpen ? null : "expected a breach case; came none");
    }

    private async Task<Outcome> ChangeAuditLogAsync(Stopwatch watch)
    {
        var kept = (await _clinic.SendAsync(HttpMethod.Get, "/audit/log/checkpoint").ConfigureAwait(false)).Text;
        using var stolen = StolenDisk.Copy(_folder);
        var audit = Path.Combine(stolen.Folder, "audit");
        var untouched = AuditVerification.Of(audit, _folder.AuditLog, kept);
        Expect.That(untouched.IsIntact, "a log that verifies before anybody changes it", string.Join("; ", untouched.Faults));
        var rows = Directory.EnumerateFiles(Path.Combine(audit, "rows")).Max(StringComparer.Ordinal)!;
        var whole = await File.ReadAllBytesAsync(rows).ConfigureAwait(false);
        var end = whole.AsSpan().LastIndexOfAnyExcept((byte)0) + 1;
        var surfaced = new List<string>();
        foreach (var (what, change) in new (string, Func<byte[]>)[]
        {
            ("a changed entry", () => [.. whole[..(end / 2)], (byte)(whole[end / 2] ^ 1), .. whole[(end / 2 + 1)..]]),
            ("a log that ends before the theft", () => whole[..(end / 2)]),
        })
        {
            await File.WriteAllBytesAsync(rows, change()).ConfigureAwait(false);
            string? told;
            try
            {
                told = AuditVerification.Of(audit, _folder.AuditLog, kept).Faults.FirstOrDefault();
            }
            catch (AuditStoreException e)
            {
                told = e.Message;
            }
            Expect.That(told is not null, $"{what} to be found", "nothing");
            surfaced.Add($"{what} ({told})");
        }
        return new("a log that says what the thief wants, until somebody checks it", $"the check of the log against any kept checkpoint: {string.Join("; ", surfaced)}", watch.Elapsed);
    }

    private async Task<Outcome> RollBackAsync(Stopwatch watch, CancellationToken cancel)
    {
        var victim = _victims[^1];
        var before = await _administrator.HeadsAsync().ConfigureAwait(false);
        var last = Expect.Status(await _clinic.System.CreateAsync("Observation", Some.Bytes(Some.Observation("Patient/" + victim.Visit.Patient)), cancel: cancel).ConfigureAwait(false), "a last entry", 201);
        var after = await _administrator.HeadsAsync().ConfigureAwait(false);
        var (number, _) = after.Single(one => before.TryGetValue(one.Key, out var was) && was != one.Value);
        var removed = await _administrator.RollBackAsync(number, before[number]).ConfigureAwait(false);
        FhirReply read;
        try
        {
            read = await _clinic.System.ReadAsync("Observation", last.Stored!.Value.Id, cancel).ConfigureAwait(false);
            var isOpen = await SurfacesAsync("store-changed", cancel).ConfigureAwait(false);
            return new("the record as it was before, and nobody believes it", isOpen ? "the next request about the record is refused, and a breach case opens" : null, watch.Elapsed,
                read.Status != 500 ? $"expected 500 for the record; came {read}" : isOpen ? null : "expected a breach case; came none");
        }
        finally
        {
            await _administrator.PutBackAsync(removed).ConfigureAwait(false);
        }
    }

    private async Task<Outcome> HideAsync(Stopwatch watch, CancellationToken cancel)
    {
        var (status, opened) = await _officer.SendAsync(HttpMethod.Post, "/operator/breach-cases", new { what = "Drill: the copy of a database was offered for sale.", aware_at = DateTimeOffset.UtcNow.AddMonths(-18) }, cancel).ConfigureAwait(false);
        Expect.That(status == 201, "201 for a case that a person opens", $"{status}");
        _case = opened!.Value.GetProperty("number").GetInt64();
        var path = string.Create(CultureInfo.InvariantCulture, $"/operator/breach-cases/{_case}");
        var refused = new List<int>();
        foreach (var (method, address) in new[] { (HttpMethod.Delete, path), (HttpMethod.Put, path), (HttpMethod.Patch, path), (HttpMethod.Delete, path + "/steps/1"), (HttpMethod.Delete, "/operator/breach-cases") })
        {
            refused.Add((await _officer.SendAsync(method, address, new { aware_at = DateTimeOffset.UtcNow }, cancel).ConfigureAwait(false)).Status);
            Expect.That(refused[^1] is >= 400 and < 500, $"a refusal of {method}", $"{refused[^1]}");
        }
        var (later, _) = await _officer.SendAsync(HttpMethod.Post, "/operator/breach-cases", new { what = "Drill: a case that would be known only tomorrow.", aware_at = DateTimeOffset.UtcNow.AddDays(1) }, cancel).ConfigureAwait(false);
        Expect.That(later == 422, "422 for a case that becomes known later than now", $"{later}");
        var stands = await CaseAsync(_case, cancel).ConfigureAwait(false);
        Expect.That(stands.GetProperty("aware_at").GetDateTimeOffset() == opened.Value.GetProperty("aware_at").GetDateTimeOffset() && IsOpen(stands), "the case as it was opened", "another");
        var clocks = stands.GetProperty("clocks").EnumerateArray().ToDictionary(static c => c.GetProperty("clock").GetString()!, static c => c.GetProperty("state").GetString());
        foreach (var clock in (string[])["early-warning", "data-protection-authority", "incident-notification"])
            Expect.That(clocks.GetValueOrDefault(clock) == "overdue", $"the clock {clock} to be overdue", clocks.GetValueOrDefault(clock) ?? "none");
        var told = new List<string>();
        foreach (var desk in Desks)
            if (await IsToldAsync(desk, _case, cancel).ConfigureAwait(false))
                told.Add(desk);
        return new($"nothing: {refused.Count} attempts to remove or move the case are refused, and its clocks stand at overdue", told.Count > 0 ? $"{string.Join(" and ", told)} are told, each on a way of its own, and again until it is done" : null, watch.Elapsed,
            told.Count == Desks.Length ? null : $"expected word of the case at {string.Join(" and ", Desks)}; came {told.Count}");
    }

    private async Task<Outcome> TellLateAsync(Stopwatch watch, CancellationToken cancel)
    {
        var path = string.Create(CultureInfo.InvariantCulture, $"/operator/breach-cases/{_case}");
        var words = new { what = "Drill: notes of visits were copied.", consequences = "Drill: somebody may write to you with what you have told.", measures = "Drill: the copy is worthless without keys; nothing is asked of you." };
        var list = new
        {
            words = new { fi = words, sv = words, en = words, contact = "Drill: https://localhost" },
            persons = _victims.Select(static v => new { patient = "Patient/" + v.Visit.Patient, items = v.Visit.Resources.Select(static one => new { type = one.Type, id = one.Id }) }),
        };
        var (alone, _) = await _officer.SendAsync(HttpMethod.Post, path + "/notices", list, cancel).ConfigureAwait(false);
        Expect.That(alone == 409, "409 for notices that one officer sends alone", $"{alone}");
        using var another = await OperatorClient.SignInAsync(_folder, _target, 2, cancel).ConfigureAwait(false);
        var (status, body) = await _officer.SendNoticesAsync(another, _case, list, cancel).ConfigureAwait(false);
        Expect.That(status == 201, "201 for the notices", $"{status}");
        var sent = body!.Value.GetProperty("sent").GetInt32();
        return new("no first word: each person has a notice of the house before", $"{sent} of {People} people have a notice with what was taken from them, and a code that anybody can check", watch.Elapsed,
            sent == People ? null : $"expected {People} notices; came {sent}");
    }

    /// <summary>Waits until one of those to whom cases are told was told of this one.</summary>
    private async Task<bool> IsToldAsync(string desk, long number, CancellationToken cancel)
    {
        using var outside = new HttpClient(Transport.Handler(_folder.Authority)) { BaseAddress = new(_folder.Professionals[0].SubjectTokenUrl.GetLeftPart(UriPartial.Authority)) };
        return await ComesAsync(async () =>
        {
            using var word = JsonDocument.Parse(await outside.GetStringAsync("/breach-desk/" + desk, cancel).ConfigureAwait(false));
            return word.RootElement.TryGetProperty("breach", out var breach) && breach.GetProperty("case").GetInt64() == number;
        }, cancel).ConfigureAwait(false);
    }

    private async Task<IReadOnlyList<JsonElement>> CasesAsync(CancellationToken cancel) =>
        [.. (await _officer.GetAsync("/operator/breach-cases", cancel).ConfigureAwait(false)).GetProperty("cases").EnumerateArray()];

    private async Task<JsonElement> CaseAsync(long number, CancellationToken cancel) =>
        (await CasesAsync(cancel).ConfigureAwait(false)).Single(one => one.GetProperty("number").GetInt64() == number);

    /// <summary>Waits until there is an open case of a kind: a new one, or one that was open before.</summary>
    private Task<bool> SurfacesAsync(string kind, CancellationToken cancel) => ComesAsync(async () =>
        (await CasesAsync(cancel).ConfigureAwait(false)).Any(one => one.GetProperty("kind").GetString() == kind && IsOpen(one)), cancel);

    private static bool IsOpen(JsonElement one) => one.GetProperty("ended_at").ValueKind == JsonValueKind.Null;

    /// <summary>Looks again and again; false when it has not come for as long as anything may take.</summary>
    private static async Task<bool> ComesAsync(Func<Task<bool>> look, CancellationToken cancel)
    {
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < Patience; await Task.Delay(TimeSpan.FromMilliseconds(100), cancel).ConfigureAwait(false))
            if (await look().ConfigureAwait(false))
                return true;
        return false;
    }
}
