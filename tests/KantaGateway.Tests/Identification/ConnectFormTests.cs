using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;

namespace KantaGateway.Tests.Identification;

/// <summary>A form that cannot be read is told so with the RFC's error at every endpoint, and is never a broken answer.</summary>
[Collection(SignInCollection.Name)]
public sealed class ConnectFormTests(IdentificationWorld world)
{
    private const string FormType = "application/x-www-form-urlencoded";

    private static readonly string[] Paths = ["/connect/token", "/connect/par", "/connect/introspect", "/connect/revoke", "/connect/token/", "/signout-ftn"];

    private static readonly Dictionary<string, (string Type, string Body, string Reason)> Forms = new()
    {
        ["more fields than a form has"] = (FormType, string.Join('&', Enumerable.Range(0, 1_025).Select(i => $"p{i}=1")), "too many parameters, or too long ones"),
        ["an over-long name"] = (FormType, new string('k', 3_000) + "=1", "too many parameters, or too long ones"),
        ["more bytes than the longest tokens need"] = (FormType, "token=" + new string('a', 65_536), "has more than 65536 bytes"),
        ["another charset"] = (FormType + "; charset=utf-16", "token=a", "must be in UTF-8"),
        ["a charset that is none"] = (FormType + "; charset=\"x y\"", "token=a", "must be in UTF-8"),
        ["parts of a document"] = ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\na", "application/x-www-form-urlencoded"),
        ["parts without a boundary"] = ("multipart/form-data", "a", "application/x-www-form-urlencoded"),
        ["JSON"] = ("application/json", """{"grant_type":"client_credentials"}""", "application/x-www-form-urlencoded"),
        ["no type"] = ("", "grant_type=client_credentials", "application/x-www-form-urlencoded"),
        ["a type that is none"] = ("form", "grant_type=client_credentials", "application/x-www-form-urlencoded"),
        ["the same parameter twice"] = (FormType, "client_assertion=a&client_assertion=b", "stands more than once"),
        ["a name of the same letters in another encoding"] = (FormType, "logout_token=a&%6Cogout_token=b", "stands more than once"),
    };

    public static TheoryData<string, string> Cases()
    {
        var cases = new TheoryData<string, string>();
        foreach (var path in Paths)
            foreach (var form in Forms.Keys)
                cases.Add(path, form);
        return cases;
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task A_form_is_refused_with(string path, string kind)
    {
        var (type, body, reason) = Forms[kind];
        foreach (var chunked in new[] { false, true })
        {
            using var content = new ByteArrayContent(Encoding.ASCII.GetBytes(body));
            if (type.Length > 0)
                content.Headers.TryAddWithoutValidation("Content-Type", type);
            await RefusedAsync(path, content, reason, chunked);
        }
    }

    [Theory]
    [InlineData("%")]
    [InlineData("%zz=%zz")]
    [InlineData("client_assertion=%ff%fe%00")]
    [InlineData("client_assertion=%ed%a0%80&client_assertion_type=%00")]
    [InlineData("=&=&==")]
    [InlineData("&&&")]
    [InlineData("")]
    public async Task Octets_that_are_no_text_end_in_an_error_of_the_RFC(string body)
    {
        foreach (var path in Paths)
        {
            using var http = world.Connect(world.Aurora.Certificate);
            using var content = new StringContent(body, Encoding.ASCII, FormType);
            using var response = await http.PostAsync(path, content);
            Assert.True(response.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.Unauthorized, $"{path}: {(int)response.StatusCode}");
            Assert.Contains((await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString(), new[] { "invalid_request", "invalid_client", "unsupported_grant_type" });
        }
    }

    /// <summary>RFC 8693 §2.1.</summary>
    [Fact]
    public async Task An_audience_may_stand_twice_in_a_token_exchange()
    {
        using var http = world.Connect(world.Aurora.Certificate);
        var form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001")).Append(new("audience", "a")).Append(new("audience", "b"));
        using var content = new FormUrlEncodedContent(form);
        using var response = await http.PostAsync("/connect/token", content);
        Assert.DoesNotContain("more than once", await response.Content.ReadAsStringAsync());
    }

    private async Task RefusedAsync(string path, HttpContent content, string reason, bool chunked)
    {
        var before = world.Refusals.All.Count;
        using var http = world.Connect(world.Aurora.Certificate);
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = content };
        request.Headers.TransferEncodingChunked = chunked;
        // Whose length is known is refused before it is sent; else the connection could break while it is.
        request.Headers.ExpectContinue = !chunked;
        using var response = await http.SendAsync(request);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        var answer = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal("invalid_request", answer.GetProperty("error").GetString());
        Assert.Contains(reason, answer.GetProperty("error_description").GetString());
        Assert.Equal(new CacheControlHeaderValue { NoStore = true }, response.Headers.CacheControl);
        // An attempt like any other.
        Assert.Contains(reason, Assert.Single(world.Refusals.All.Skip(before)).Reason);
    }
}
