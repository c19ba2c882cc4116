using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys;
using KantaGateway.Tests.Audit;

namespace KantaGateway.Tests.Keys;

public class KeyServiceTests(RunningKeys keys) : IClassFixture<RunningKeys>
{
    private Pseudonym Maija => keys.People[0];

    private Pseudonym Matti => keys.People[1];
    private static readonly string Code = "010190-900" + PersonalIdentityCode.CheckCharacterOf("010190", "900");

    [Fact]
    public async Task One_code_has_one_pseudonym_and_a_code_of_another_century_another()
    {
        var first = await PseudonymAsync(Code);
        Assert.True(Pseudonym.TryDecode(first, out var pseudonym));
        Assert.False(pseudonym.IsDirectory);
        Assert.Equal(first, await PseudonymAsync(Code));
        // The sign is not in the check character, and identifies.
        Assert.NotEqual(first, await PseudonymAsync(Code.Replace('-', 'Y')));
    }

    [Fact]
    public async Task Pseudonyms_are_for_the_gateway_itself()
    {
        foreach (var bearer in (string?[])[null, "x", keys.Grant(GrantUse.Read, Maija), new GrantSigner(ECDsa.Create(ECCurve.NamedCurves.nistP256), keys.Time).SignServiceToken()])
        {
            using var response = await keys.PostAsync("/v1/pseudonym", bearer, new { identityCode = Code });
            Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
            Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        }
    }

    [Theory]
    [InlineData("010190-900X"), InlineData(""), InlineData(null)]
    public async Task A_wrong_code_is_refused_and_not_repeated(string? code)
    {
        using var response = await keys.PostAsync("/v1/pseudonym", keys.Gateway.SignServiceToken(), new { identityCode = code });
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.DoesNotContain("010190", await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_data_key_unwraps_for_its_own_compartment_alone()
    {
        var created = await CreateAsync(Maija);
        Assert.Equal(32, created.Key.Length);
        foreach (var use in (GrantUse[])[GrantUse.Read, GrantUse.Write, GrantUse.Policy])
            Assert.Equal(created.Key, (await keys.UnwrapAsync(keys.Grant(use, Maija), created.Wrapped)).Key);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, await UnwrapStatusAsync(keys.Grant(GrantUse.Read, Matti), created.Wrapped));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, await UnwrapStatusAsync(keys.Grant(GrantUse.Read, Pseudonym.Directory), created.Wrapped));
        Assert.Equal(HttpStatusCode.Forbidden, await UnwrapStatusAsync(keys.Grant(GrantUse.AuditTrail, Maija), created.Wrapped));
    }

    [Fact]
    public async Task Every_data_key_is_new_and_the_directory_has_one_too()
    {
        var (first, second, directory) = (await CreateAsync(Maija), await CreateAsync(Maija), await CreateAsync(Pseudonym.Directory));
        Assert.NotEqual(first.Key, second.Key);
        Assert.Equal(directory.Key, (await keys.UnwrapAsync(keys.Grant(GrantUse.Read, Pseudonym.Directory), directory.Wrapped)).Key);
    }

    [Fact]
    public async Task Keys_are_made_under_a_write_grant_only()
    {
        foreach (var use in (GrantUse[])[GrantUse.Read, GrantUse.Policy, GrantUse.AuditTrail])
        {
            using var response = await keys.PostAsync("/v1/keys/create", keys.Grant(use, Maija), new { });
            Assert.Equal(HttpStatusCode.Forbidden, response.StatusCode);
        }
    }

    [Fact]
    public async Task Without_a_grant_of_this_gateway_nothing_is_unwrapped()
    {
        var created = await CreateAsync(Maija);
        var foreign = keys.Grant(GrantUse.Read, Maija, new GrantSigner(ECDsa.Create(ECCurve.NamedCurves.nistP256), keys.Time));
        var grant = keys.Grant(GrantUse.Read, Maija);
        var parts = grant.Split('~');
        var otherSubject = OfSubject(Matti, keys.Grant(GrantUse.Read, Matti).Split('~')[2], Maija);
        foreach (var bearer in (string?[])[null, "", "a.b.c", "a.b.c~AA~e30", foreign, parts[0], $"{parts[0]}~{parts[1]}~{otherSubject}", keys.Gateway.SignServiceToken(), $"{keys.Gateway.SignServiceToken()}~{parts[1]}~{parts[2]}"])
            Assert.Equal(HttpStatusCode.Unauthorized, await UnwrapStatusAsync(bearer, created.Wrapped));
        Assert.Equal(HttpStatusCode.OK, await UnwrapStatusAsync(grant, created.Wrapped));
    }

    [Fact]
    public async Task Grants_signed_together_open_one_key_each_of_their_own_person_alone()
    {
        var (maija, matti) = (await CreateAsync(Maija), await CreateAsync(Matti));
        var signed = keys.Gateway.Sign([.. new[] { Maija, Matti, Maija }.Select(person => new Grant
        {
            Id = Guid.NewGuid().ToString("N"), Use = GrantUse.Read, Compartment = person, Scope = DisclosureScope.Nothing, Caller = "aurora", PurposeOfUse = "TREAT", Expires = keys.Time.GetUtcNow() + TimeSpan.FromSeconds(60),
        })]);
        Assert.Equal(HttpStatusCode.OK, await UnwrapStatusAsync(signed[0], maija.Wrapped));
        // The root is known by now, and helps nobody.
        var (root, place, ofMatti) = (signed[0].Split('~')[0], signed[0].Split('~')[1], signed[1].Split('~')[2]);
        Assert.Equal(HttpStatusCode.Unauthorized, await UnwrapStatusAsync($"{root}~{place}~{ofMatti}", matti.Wrapped));
        Assert.Equal(HttpStatusCode.Unauthorized, await UnwrapStatusAsync($"{root}~{signed[1].Split('~')[1]}~{OfSubject(Matti, ofMatti, Maija)}", maija.Wrapped));
        Assert.Equal(HttpStatusCode.Conflict, await UnwrapStatusAsync(signed[0], maija.Wrapped));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, await UnwrapStatusAsync(signed[1], maija.Wrapped));
        Assert.Equal(HttpStatusCode.OK, await UnwrapStatusAsync(signed[1], matti.Wrapped));
        Assert.Equal(HttpStatusCode.OK, await UnwrapStatusAsync(signed[2], maija.Wrapped));
        Assert.Equal(HttpStatusCode.Conflict, await UnwrapStatusAsync(signed[2], maija.Wrapped));
    }

    /// <summary>The same claims about somebody else.</summary>
    private static string OfSubject(Pseudonym before, string claims, Pseudonym after) =>
        Convert.ToBase64String(Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(Base64(claims)).Replace(before.Encode(), after.Encode()))).TrimEnd('=').Replace('+', '-').Replace('/', '_');

    [Fact]
    public async Task A_changed_wrapped_key_is_refused_wherever_it_was_changed()
    {
        var created = await CreateAsync(Maija);
        var grant = keys.Grant(GrantUse.Read, Maija);
        // What stands behind it is of no interest to whoever opens it.
        for (var i = 0; i < WrappedKey.Length; i++)
        {
            var changed = (byte[])created.Wrapped.Clone();
            changed[i] ^= 1;
            Assert.Equal(HttpStatusCode.UnprocessableEntity, await UnwrapStatusAsync(grant, changed));
        }
        Assert.Equal(HttpStatusCode.UnprocessableEntity, await UnwrapStatusAsync(grant, []));
        using var malformed = await keys.PostAsync("/v1/keys/unwrap", grant, "no object");
        Assert.Equal(HttpStatusCode.BadRequest, malformed.StatusCode);
    }

    [Fact]
    public async Task An_audit_entry_opens_for_its_person_alone()
    {
        using var folder = new LogFolder();
        var reader = (await keys.Client.GetFromJsonAsync<ReaderAnswer>("/v1/audit/reader"))!;
        await using var log = AuditLog.Open(folder.Options() with { ReaderPublicKey = reader.PublicKey }, TimeProvider.System);
        var hers = """{"resourceType":"AuditEvent","id":"hers"}"""u8.ToArray();
        await log.AppendAsync([new(Maija.ToArray(), hers), new(Matti.ToArray(), "{}"u8.ToArray()), new([], "{}"u8.ToArray())]);
        // His entry claimed to be hers, and one that is no entry.
        IReadOnlyList<SealedEntry> entries = [.. await log.ForSubjectAsync(Maija.ToArray(), 10), .. await log.ForSubjectAsync(Matti.ToArray(), 10),
            new(9, default, new byte[32], new byte[32], new byte[100])];
        var answer = await keys.PostAsync<object, AuditOpenAnswer>("/v1/audit/open", keys.Grant(GrantUse.AuditTrail, Maija), new AuditOpenRequest(entries));
        var opened = Assert.Single(answer.Entries);
        Assert.Equal(0, opened.Index);
        Assert.Equal(hers, opened.Record);
        Assert.Equal(entries[0].Commitment, SHA256.HashData([.. opened.Salt, (byte)opened.Subject.Length, .. opened.Subject, .. opened.Record]));

        using var refused = await keys.PostAsync("/v1/audit/open", keys.Grant(GrantUse.Read, Maija), new AuditOpenRequest(entries));
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
    }

    [Fact]
    public async Task It_lives() => Assert.Equal("live", await keys.Client.GetStringAsync("/health/live"));

    private async Task<string> PseudonymAsync(string code) =>
        (await keys.PostAsync<object, PseudonymAnswer>("/v1/pseudonym", keys.Gateway.SignServiceToken(), new { identityCode = code })).Pseudonym;

    private Task<CreateAnswer> CreateAsync(Pseudonym compartment) =>
        keys.PostAsync<object, CreateAnswer>("/v1/keys/create", keys.Grant(GrantUse.Write, compartment), new { });

    private async Task<HttpStatusCode> UnwrapStatusAsync(string? grant, byte[] wrapped) => (await keys.AskAsync(grant, wrapped)).Status;

    private static byte[] Base64(string url) => Convert.FromBase64String(url.Replace('-', '+').Replace('_', '/').PadRight((url.Length + 3) / 4 * 4, '='));
}
